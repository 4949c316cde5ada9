import { expect, test } from "vitest";
import { checkPlace, toDeadLetterName, toQueueName } from "./topology.ts";

const place = { exchange: "sagaz", group: "billing", topic: "order.placed" };

test("a queue is called after its exchange, group and topic", () => {
  expect(toQueueName(place)).toBe("sagaz/billing/order.placed");
  expect(toDeadLetterName(place)).toBe("sagaz-dead-letters/billing/order.placed");
});

test("no two places have one queue, wherever they have their slashes", () => {
  const names = [
    { exchange: "a", group: "b/c", topic: "d" },
    { exchange: "a", group: "b", topic: "c/d" },
    { exchange: "a/b", group: "c", topic: "d" },
    { exchange: "a", group: "b%2Fc", topic: "d" },
  ].map(toQueueName);
  expect(new Set(names).size).toBe(names.length);
});

test("a topic that would stand for others too, or a name that is too long, is refused", () => {
  for (const topic of ["order.placed", "a*b", "#1", "", "."]) checkPlace({ ...place, topic });
  for (const topic of ["*", "#", "order.*", "#.placed", "a.*.b"])
    expect(() => checkPlace({ ...place, topic })).toThrow(/none of its words between dots may be \* or #/);
  checkPlace({ ...place, group: "g".repeat(223) });
  expect(() => checkPlace({ ...place, group: "g".repeat(224) })).toThrow(/may have 255 bytes/);
});
