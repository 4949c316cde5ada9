import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";

/** A finished statement as Kysely knows it: what its `CompiledQuery.raw` makes. */
export interface KyselyQuery {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: {
    readonly kind: "RawNode";
    readonly sqlFragments: readonly string[];
    readonly parameters: readonly never[];
  };
  readonly queryId: { readonly queryId: string };
}

/** The part of a Kysely `Transaction` that {@link fromKysely} uses. */
export interface KyselyTransaction {
  /** A `Kysely` that is no transaction says false. */
  readonly isTransaction: true;
  /** Only the one of `startTransaction()` tells. */
  readonly isCommitted?: boolean;
  readonly isRolledBack?: boolean;
  /** A plug-in that names columns otherwise, or parses what looks like JSON, is for your queries, not for ours. */
  withoutPlugins(): {
    executeQuery(query: KyselyQuery): Promise<{ readonly rows: readonly unknown[] }>;
  };
}

/**
 * Lets sagaz write in a transaction of Kysely: hand in the `Transaction` that `db.transaction().execute` gives to its
 * callback, or the one of `startTransaction()`.
 *
 * `db` itself takes any free connection: what goes through it commits by itself, also inside the callback. Await what
 * you do with the transaction: after the callback's end its connection serves others.
 *
 * @example
 * await db.transaction().execute(async (trx) => {
 *   await trx.insertInto("orders").values(order).execute();
 *   await outbox.add(fromKysely(trx), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for a `Kysely` that is no transaction, and, when something is written, for
 * a transaction of `startTransaction()` that has ended.
 */
export function fromKysely(trx: KyselyTransaction): SqlRunner {
  const adapter = "fromKysely";
  const advice = "Hand in the trx that the callback of db.transaction().execute gets";
  if (!(trx.isTransaction as boolean))
    throw notATransaction({ adapter, value: "a Kysely that is no transaction", advice });
  return async (sql, params = []) => {
    if (trx.isCommitted === true || trx.isRolledBack === true)
      throw notATransaction({ adapter, value: "a transaction that has ended", advice: "Await it before" });
    const { rows } = await trx.withoutPlugins().executeQuery({
      sql,
      parameters: [...params],
      query: { kind: "RawNode", sqlFragments: [sql], parameters: [] },
      queryId: { queryId: "sagaz" },
    });
    return rows as readonly Record<string, unknown>[];
  };
}
