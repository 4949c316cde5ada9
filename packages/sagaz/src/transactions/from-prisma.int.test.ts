import { PrismaPg } from "@prisma/adapter-pg";
import { afterAll, expect, inject, test } from "vitest";
import { newPrismaClient } from "../../../../tests/transactions/prisma-client.ts";
import { Shop, type LibraryUnderTest } from "../../../../tests/transactions/shop.ts";
import { transactionRules } from "../../../../tests/transactions/transaction-rules.ts";
import { fromPrisma } from "./from-prisma.ts";

const shop = await Shop.open(inject("postgresUrl"));
const prisma = newPrismaClient(new PrismaPg({ connectionString: shop.url }));
afterAll(async () => {
  await prisma.$disconnect();
  await shop.close();
});

const library: LibraryUnderTest = {
  transaction: (work) =>
    prisma.$transaction((tx) =>
      work({ tx: fromPrisma(tx), place: (order) => tx.order.create({ data: order }) }),
    ),
  wrongTurns: { "the client": async () => fromPrisma(prisma as never) },
};

for (const rule of transactionRules) test(rule.name, () => rule.check(shop, library));

test("a transaction that has ended takes nothing any more", async () => {
  const order = shop.newOrder();
  const ended = await prisma.$transaction(async (tx) => fromPrisma(tx));
  const event = { topic: "orders", type: "order.placed", aggregateId: order.id, payload: order };
  await expect(shop.outbox.add(ended, event)).rejects.toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  expect(await shop.eventsOf(order)).toEqual([]);
});
