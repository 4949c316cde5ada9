import { EntitySchema } from "@mikro-orm/core";
import { MikroORM } from "@mikro-orm/postgresql";
import { afterAll, describe, expect, inject, test } from "vitest";
import { Shop, type LibraryUnderTest, type Order } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromMikroOrm } from "./from-mikro-orm.ts";

const orders = new EntitySchema<Order>({
  name: "Order",
  tableName: "orders",
  properties: { id: { type: "text", primary: true }, note: { type: "text" } },
});

const shop = await Shop.open(inject("postgresUrl"));
const orm = await MikroORM.init({ clientUrl: shop.url, entities: [orders] });
afterAll(async () => {
  await orm.close();
  await shop.close();
});

const wrongTurns = {
  "the global entity manager": async () => fromMikroOrm(orm.em),
  "a fork before its begin": async () => fromMikroOrm(orm.em.fork()),
  "a fork after its commit": async () => {
    const em = orm.em.fork();
    await em.begin();
    await em.commit();
    return fromMikroOrm(em);
  },
};

const transactional: LibraryUnderTest = {
  wrongTurns,
  transaction: (work) =>
    orm.em.fork().transactional((em) =>
      // Flushed at the commit, as users do.
      work({ tx: fromMikroOrm(em), place: async (order) => em.create(orders, order) }),
    ),
};

const begun: LibraryUnderTest = {
  wrongTurns,
  async transaction(work) {
    const em = orm.em.fork();
    await em.begin();
    try {
      await work({ tx: fromMikroOrm(em), place: (order) => em.insert(orders, order) });
      await em.commit();
    } catch (error) {
      await em.rollback();
      throw error;
    }
  },
};

describe.each([
  ["in transactional", transactional],
  ["in a fork that has begun", begun],
])("%s", (_, library) => {
  for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));
});

test("the manager of a callback that has ended takes nothing any more", async () => {
  const order = shop.newOrder();
  const ended = fromMikroOrm(await orm.em.fork().transactional(async (em) => em));
  const event = { topic: "orders", type: "order.placed", aggregateId: order.id, payload: order };
  await expect(shop.outbox.add(ended, event)).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  expect(await shop.eventsOf(order)).toEqual([]);
});
