import { expect, test } from "vitest";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import { Transactions } from "./transactions.ts";

const toRow = (eventId: string) =>
  toOutboxRow(
    { topic: "orders", type: "order.placed", payload: {} },
    {
      newId: () => eventId,
      source: "/shop",
      bytesMax: 1_000,
      correlationId: undefined,
      traceparent: undefined,
      links: {},
    },
  );

test("what one has published is its own, until its work is noted", () => {
  const transactions = new Transactions();
  const [one, other] = [transactions.begin(), transactions.begin()];
  const [first, second, third] = [toRow("1"), toRow("2"), toRow("3")];
  transactions.add(one, [first]);
  transactions.add(other, [second]);
  transactions.add(one, [third]);
  expect(transactions.eventsOf(one)).toEqual([first, third]);
  expect(transactions.eventsOf(other)).toEqual([second]);
  transactions.end(one);
  expect(transactions.eventsOf(one)).toEqual([]);
  expect(transactions.eventsOf(other)).toEqual([second]);
});

test("events cannot be added in a transaction that is not ours, nor in one that is over", () => {
  const transactions = new Transactions();
  const over = transactions.begin();
  transactions.end(over);
  for (const tx of [async () => [], over]) {
    expect(() => transactions.add(tx, [toRow("1")])).toThrow(
      expect.objectContaining({ code: "SAGAZ_CANNOT" }),
    );
    expect(transactions.eventsOf(tx)).toEqual([]);
  }
});

test("it takes no SQL", async () => {
  const tx = new Transactions().begin();
  await expect(tx("select 1")).rejects.toMatchObject({
    code: "SAGAZ_CANNOT",
    message: expect.stringContaining("select 1"),
  });
});
