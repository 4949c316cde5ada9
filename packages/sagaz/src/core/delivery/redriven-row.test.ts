import { expect, test } from "vitest";
import type { OutboxRow } from "./outbox-event.ts";
import { redrivenRow } from "./redriven-row.ts";

const event: OutboxRow = {
  eventId: "e",
  topic: "orders",
  key: "o",
  shard: 0,
  type: "order.placed",
  source: "/shop",
  aggregateType: null,
  aggregateId: "o",
  correlationId: null,
  sagaId: null,
  traceparent: null,
  headers: null,
  payload: "{}",
};

test.each([
  ["an event that nobody could publish is for all", null, null, { "sagaz-redriven": "true" }],
  [
    "what a consumer could not process is for that one",
    "billing",
    null,
    { "sagaz-redriven": "true", "sagaz-redriven-for": "billing" },
  ],
  [
    "it keeps the headers that it had, but for marks of an earlier time",
    "billing",
    { traceparent: "t", "sagaz-redriven-for": "shipping" },
    { traceparent: "t", "sagaz-redriven": "true", "sagaz-redriven-for": "billing" },
  ],
])("%s", (_, consumerName, headers, marked) => {
  const row = redrivenRow({
    event: { ...event, headers: headers && JSON.stringify(headers) },
    consumerName,
  });
  expect(row).toEqual({ ...event, headers: expect.any(String) as unknown });
  expect(JSON.parse(row.headers ?? "")).toEqual(marked);
});
