import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";

/** The part of a TypeORM `QueryRunner` that {@link fromTypeOrm} uses. */
export interface TypeOrmQueryRunner {
  readonly isTransactionActive: boolean;
  query(
    query: string,
    parameters: unknown[],
    useStructuredResult: true,
  ): Promise<{ readonly records: readonly unknown[] }>;
}

/** The part of a TypeORM `EntityManager` that {@link fromTypeOrm} uses. */
export interface TypeOrmTransaction {
  /** Only the manager of a transaction, or of a query runner, has one. */
  readonly queryRunner?: TypeOrmQueryRunner;
}

/**
 * Lets sagaz write in a transaction of TypeORM: hand in the `EntityManager` that `dataSource.transaction` gives to its
 * callback, or a `QueryRunner` after its `startTransaction()`.
 *
 * `dataSource.manager` takes any free connection: what goes through it commits by itself, also inside the callback.
 *
 * @example
 * await dataSource.transaction(async (manager) => {
 *   await manager.insert(Order, order);
 *   await outbox.add(fromTypeOrm(manager), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for a manager without a query runner, and, when something is written, for
 * a query runner without an open transaction.
 */
export function fromTypeOrm(source: TypeOrmTransaction | TypeOrmQueryRunner): SqlRunner {
  const adapter = "fromTypeOrm";
  const advice = "Hand in the manager that the callback of dataSource.transaction gets";
  const runner = "isTransactionActive" in source ? source : source.queryRunner;
  if (runner === undefined)
    throw notATransaction({ adapter, value: "a manager that is not of a transaction", advice });
  return async (sql, params = []) => {
    if (!runner.isTransactionActive)
      throw notATransaction({ adapter, value: "a query runner without an open transaction", advice });
    // Otherwise it answers an UPDATE by another shape than an INSERT.
    const { records } = await runner.query(sql, [...params], true);
    return records as readonly Record<string, unknown>[];
  };
}
