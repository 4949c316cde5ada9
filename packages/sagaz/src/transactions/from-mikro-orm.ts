import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";
import { throwWithoutStatement, toQuestionMarks } from "./question-marks.ts";

/** The part of MikroORM's `EntityManager` for PostgreSQL that {@link fromMikroOrm} uses. */
export interface MikroOrmTransaction {
  execute(query: string, params: unknown[]): Promise<unknown>;
  isInTransaction(): boolean;
}

/**
 * Lets sagaz write in a transaction of MikroORM: hand in the `EntityManager` that `em.transactional` gives to its
 * callback, or a fork after its `begin()`.
 *
 * What is persisted but not flushed yet follows when the transaction commits: it belongs to it all the same.
 *
 * @example
 * await orm.em.fork().transactional(async (em) => {
 *   em.create(Order, order);
 *   await outbox.add(fromMikroOrm(em), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` when something is written and no transaction is open.
 */
export function fromMikroOrm(em: MikroOrmTransaction): SqlRunner {
  return async (text, params = []) => {
    if (!em.isInTransaction())
      throw notATransaction({
        adapter: "fromMikroOrm",
        value: "an entity manager without an open transaction",
        advice: "Hand in the em that the callback of em.transactional gets",
      });
    const { sql, values } = toQuestionMarks(text, params);
    const rows = await em
      .execute(sql, [...values])
      .catch((error: unknown) => throwWithoutStatement(error, text));
    return rows as readonly Record<string, unknown>[];
  };
}
