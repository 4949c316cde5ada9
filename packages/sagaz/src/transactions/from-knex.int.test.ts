import knex from "knex";
import { afterAll, inject, test } from "vitest";
import { Shop, type LibraryUnderTest } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromKnex } from "./from-knex.ts";

const shop = await Shop.open(inject("postgresUrl"));
const db = knex({ client: "pg", connection: shop.url, postProcessResponse: toCamelCase });
afterAll(async () => {
  await db.destroy();
  await shop.close();
});

/** As many applications do: columns are named otherwise than we name them. */
function toCamelCase(result: { readonly rows?: Record<string, unknown>[] }): unknown {
  const toCamel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const toRow = (row: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [toCamel(name), value]));
  return result.rows ? { ...result, rows: result.rows.map(toRow) } : result;
}

const library: LibraryUnderTest = {
  transaction: (work) =>
    db.transaction((trx) => work({ tx: fromKnex(trx), place: (order) => trx("orders").insert(order) })),
  wrongTurns: {
    "the pool": async () => fromKnex(db as never),
    "a transaction that has ended": async () => {
      const trx = await db.transaction();
      await trx.commit();
      return fromKnex(trx);
    },
  },
};

for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
