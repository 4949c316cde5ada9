import postgres from "postgres";
import { afterAll, inject, test } from "vitest";
import { Shop, type LibraryUnderTest } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromPostgresJs } from "./from-postgres-js.ts";

const shop = await Shop.open(inject("postgresUrl"));
const sql = postgres(shop.url, { transform: postgres.camel }); // names columns otherwise than we do
afterAll(async () => {
  await sql.end();
  await shop.close();
});

const library: LibraryUnderTest = {
  async transaction(work) {
    await sql.begin((tx) =>
      work({
        tx: fromPostgresJs(tx),
        place: ({ id, note }) => tx`insert into orders (id, note) values (${id}, ${note})`,
      }),
    );
  },
  wrongTurns: { "the outer sql": async () => fromPostgresJs(sql as never) },
};

for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
