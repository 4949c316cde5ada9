import { fail, type SqlRunner } from "sagaz";
import type { Pool } from "pg";
import { transaction } from "./sql.ts";

/** What the shop remembers of an idempotency key. */
interface Call {
  readonly reply: unknown;
  readonly undone: boolean;
}

/**
 * What every service that takes part in sagas has to do: an effect happens once per idempotency key, however often it is
 * asked for; undoing what was never done succeeds and leaves a tombstone; and doing after undoing is refused. The key is
 * written in the transaction of the effect itself, so a crash in between leaves both or none.
 */
export class Participant<Reply> {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Does it, or answers what was answered before. */
  async once(
    key: string,
    effect: (sql: SqlRunner) => Promise<Reply>,
  ): Promise<{ readonly reply: Reply; readonly isFirst: boolean }> {
    return transaction(this.#pool, async (sql) => {
      const call = await lock(sql, key);
      await sql("update demo_shop.calls set asked = asked + 1 where key = $1", [key]);
      if (call.undone) throw fail("refused: this was undone before it was asked for");
      if (call.reply !== null) return { reply: call.reply as Reply, isFirst: false };
      const reply = await effect(sql);
      await sql("update demo_shop.calls set reply = $2 where key = $1", [key, JSON.stringify(reply)]);
      return { reply, isFirst: true };
    });
  }

  /** Undoes it, if it was done and is not undone yet. From now on the key is closed. */
  async undo(key: string, inverse: (sql: SqlRunner, reply: Reply) => Promise<void>): Promise<void> {
    await transaction(this.#pool, async (sql) => {
      const call = await lock(sql, key);
      if (call.undone) return;
      if (call.reply !== null) await inverse(sql, call.reply as Reply);
      await sql("update demo_shop.calls set undone_at = now() where key = $1", [key]);
    });
  }

  /** What was answered to this key, or undefined if it took no effect. */
  async find(key: string): Promise<Reply | undefined> {
    const { rows } = await this.#pool.query<{ reply: Reply }>(
      "select reply from demo_shop.calls where key = $1 and reply is not null and undone_at is null",
      [key],
    );
    return rows[0]?.reply;
  }
}

/** Two calls with one key wait for each other here. */
async function lock(sql: SqlRunner, key: string): Promise<Call> {
  await sql("insert into demo_shop.calls (key) values ($1) on conflict do nothing", [key]);
  const [row] = await sql(
    "select reply, undone_at is not null as undone from demo_shop.calls where key = $1 for update",
    [key],
  );
  return row as unknown as Call;
}
