import type { OutboxEvent } from "sagaz";

/** Events of so many keys come in turn, as those of many orders do. */
const keys = 10_000;

/** The topic of all events. */
export const topic = "orders";

/** Bytes of a payload as JSON. */
const payloadBytes = 1024;

const filler = "An order is shipped when it is paid for and its items are in stock. ".repeat(16);

/** The event number `n`: 1 KB, with nothing to be left out and nothing that would be paid for extra. */
export function newEvent(n: number): OutboxEvent & { readonly key: string } {
  const orderId = `order-${n % keys}`;
  const payload = { orderId, sequence: n, status: "shipped", total: 499.9, note: "" };
  payload.note = filler.slice(0, payloadBytes - JSON.stringify(payload).length);
  return { topic, type: "order.shipped", key: orderId, aggregateId: orderId, payload };
}
