import { drizzle as onNodePostgres } from "drizzle-orm/node-postgres";
import { pgTable, text } from "drizzle-orm/pg-core";
import { drizzle as onPostgresJs } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import { afterAll, describe, inject, test } from "vitest";
import { Shop, type LibraryUnderTest } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromDrizzle } from "./from-drizzle.ts";

const orders = pgTable("orders", { id: text().primaryKey(), note: text().notNull() });

const shop = await Shop.open(inject("postgresUrl"));
const pool = new pg.Pool({ connectionString: shop.url });
const sql = postgres(shop.url);
const [onPool, onSql] = [onNodePostgres(pool), onPostgresJs(sql)];
afterAll(async () => {
  await Promise.all([pool.end(), sql.end()]);
  await shop.close();
});

const nodePostgres: LibraryUnderTest = {
  transaction: (work) =>
    onPool.transaction((tx) =>
      work({ tx: fromDrizzle(tx), place: (order) => tx.insert(orders).values(order) }),
    ),
  wrongTurns: { "the database": async () => fromDrizzle(onPool as never) },
};

const postgresJs: LibraryUnderTest = {
  transaction: (work) =>
    onSql.transaction((tx) =>
      work({ tx: fromDrizzle(tx), place: (order) => tx.insert(orders).values(order) }),
    ),
  wrongTurns: { "the database": async () => fromDrizzle(onSql as never) },
};

describe.each([
  ["node-postgres", nodePostgres],
  ["postgres-js", postgresJs],
])("on %s", (_, library) => {
  for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
});
