import { DataSource, EntitySchema } from "typeorm";
import { afterAll, describe, inject, test } from "vitest";
import { Shop, type LibraryUnderTest, type Order } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromTypeOrm } from "./from-type-orm.ts";

const orders = new EntitySchema<Order>({
  name: "order",
  tableName: "orders",
  columns: { id: { type: "text", primary: true }, note: { type: "text" } },
});

const shop = await Shop.open(inject("postgresUrl"));
const dataSource = await new DataSource({ type: "postgres", url: shop.url, entities: [orders] }).initialize();
const idle = dataSource.createQueryRunner();
afterAll(async () => {
  await idle.release();
  await dataSource.destroy();
  await shop.close();
});

const wrongTurns = {
  "the data source": async () => fromTypeOrm(dataSource as never),
  "the manager of the data source": async () => fromTypeOrm(dataSource.manager),
  "a query runner before its transaction": async () => fromTypeOrm(idle),
  "the manager of such a query runner": async () => fromTypeOrm(idle.manager),
  "the manager of a callback that has ended": async () =>
    fromTypeOrm(await dataSource.transaction(async (manager) => manager)),
  "a query runner after its transaction": async () => {
    await idle.startTransaction();
    await idle.commitTransaction();
    return fromTypeOrm(idle);
  },
};

const manager: LibraryUnderTest = {
  wrongTurns,
  transaction: (work) =>
    dataSource.transaction((manager) =>
      work({ tx: fromTypeOrm(manager), place: (order) => manager.insert(orders, order) }),
    ),
};

const queryRunner: LibraryUnderTest = {
  wrongTurns,
  async transaction(work) {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    try {
      await work({ tx: fromTypeOrm(runner), place: (order) => runner.manager.insert(orders, order) });
      await runner.commitTransaction();
    } catch (error) {
      await runner.rollbackTransaction();
      throw error;
    } finally {
      await runner.release();
    }
  },
};

describe.each([
  ["an entity manager", manager],
  ["a query runner", queryRunner],
])("%s", (_, library) => {
  for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
});
