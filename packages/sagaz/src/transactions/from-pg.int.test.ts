import pg from "pg";
import { afterAll, inject, test } from "vitest";
import { Shop, type LibraryUnderTest } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromPg } from "./from-pg.ts";

const shop = await Shop.open(inject("postgresUrl"));
const pool = new pg.Pool({ connectionString: shop.url });
const idle = await pool.connect();
afterAll(async () => {
  idle.release();
  await pool.end();
  await shop.close();
});

const library: LibraryUnderTest = {
  async transaction(work) {
    const client = await pool.connect();
    try {
      await client.query("begin");
      await work({
        tx: fromPg(client),
        place: ({ id, note }) => client.query("insert into orders (id, note) values ($1, $2)", [id, note]),
      });
      await client.query("commit");
    } catch (error) {
      await client.query("rollback");
      throw error;
    } finally {
      client.release();
    }
  },
  wrongTurns: {
    "a pool": async () => fromPg(pool as never),
    "a client before its begin": async () => fromPg(idle),
    "a client after its commit": async () => {
      await idle.query("begin");
      await idle.query("commit");
      return fromPg(idle);
    },
  },
};

for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
