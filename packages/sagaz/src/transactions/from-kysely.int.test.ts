import { CamelCasePlugin, Kysely, ParseJSONResultsPlugin, PostgresDialect } from "kysely";
import pg from "pg";
import { afterAll, describe, inject, test } from "vitest";
import { Shop, type LibraryUnderTest, type Order } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromKysely } from "./from-kysely.ts";

const shop = await Shop.open(inject("postgresUrl"));
const db = new Kysely<{ orders: Order }>({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: shop.url }) }),
  plugins: [new CamelCasePlugin(), new ParseJSONResultsPlugin()], // must leave ours alone
});
afterAll(async () => {
  await db.destroy();
  await shop.close();
});

const wrongTurns = {
  "the database": async () => fromKysely(db as never),
  "a connection": () => db.connection().execute(async (connection) => fromKysely(connection as never)),
  "a transaction that was committed": async () => {
    const trx = await db.startTransaction().execute();
    await trx.commit().execute();
    return fromKysely(trx);
  },
  "a transaction that was rolled back": async () => {
    const trx = await db.startTransaction().execute();
    await trx.rollback().execute();
    return fromKysely(trx);
  },
};

const callback: LibraryUnderTest = {
  wrongTurns,
  transaction: (work) =>
    db.transaction().execute((trx) =>
      work({
        tx: fromKysely(trx),
        place: (order) => trx.insertInto("orders").values(order).execute(),
      }),
    ),
};

const controlled: LibraryUnderTest = {
  wrongTurns,
  async transaction(work) {
    const trx = await db.startTransaction().execute();
    try {
      await work({
        tx: fromKysely(trx),
        place: (order) => trx.insertInto("orders").values(order).execute(),
      });
      await trx.commit().execute();
    } catch (error) {
      await trx.rollback().execute();
      throw error;
    }
  },
};

describe.each([
  ["in a callback", callback],
  ["between start and commit", controlled],
])("%s", (_, library) => {
  for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
});
