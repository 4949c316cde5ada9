/** Services react to each other's events; nobody conducts. When one cannot do its part, those before it undo theirs. */
import {
  Choreography,
  drawFlow,
  fail,
  FlowTracker,
  InMemoryBroker,
  InMemoryStorage,
  OutboxWorker,
  type Reaction,
} from "sagaz";

interface Order {
  readonly id: string;
  readonly cents: number;
}

const broker = new InMemoryBroker();

/** A service has a database of its own, takes part in flows, and relays what it publishes. */
async function startService(consumerName: string, reactions: Record<string, Reaction>) {
  const parts = { storage: new InMemoryStorage(), broker: new InMemoryBroker({ beside: broker }) };
  const service = new Choreography({ ...parts, consumerName, reactions });
  const relay = new OutboxWorker(parts);
  await service.start();
  await relay.start();
  return async () => {
    await service.stop();
    await relay.stop();
  };
}

const stopInventory = await startService("inventory", {
  reserve: {
    on: { topic: "orders", type: "order.placed" },
    do: (order: Order, { publish }) => {
      publish({ topic: "inventory", type: "inventory.reserved", payload: order });
      return { reservation: `reservation of ${order.id}` };
    },
    undoOn: [{ topic: "payments", type: "payment.declined" }],
    undo: ({ reservation }: { reservation: string }, { publish }) => {
      console.log(`released: ${reservation}`);
      publish({ topic: "inventory", type: "inventory.released", payload: { reservation } });
    },
  },
});

const stopPayments = await startService("payments", {
  charge: {
    on: { topic: "inventory", type: "inventory.reserved" },
    do: (order: Order, { publish }) => {
      if (order.cents > 10_000) throw fail("over the limit");
      publish({ topic: "payments", type: "payment.done", payload: order });
    },
    failed: ({ message }) => ({ topic: "payments", type: "payment.declined", payload: { message } }),
  },
});

const tracker = new FlowTracker({
  storage: new InMemoryStorage(),
  broker: new InMemoryBroker({ beside: broker }),
  topics: ["orders", "inventory", "payments"],
});
await tracker.start();

// Somebody else's event: what a shop would publish through its outbox.
await broker.start();
const order: Order = { id: "4711", cents: 20_000 };
const headers = { ce_id: "placed-4711", ce_type: "order.placed", "correlation-id": order.id };
await broker.publish([{ topic: "orders", key: order.id, headers, payload: JSON.stringify(order) }]);

let flow = await tracker.get(order.id);
for (; flow.length < 4; flow = await tracker.get(order.id))
  await new Promise((resolve) => setTimeout(resolve, 10));
console.log(drawFlow(flow).replace(/ {2}(\+\d+ ms|\d{4}-\S+)/g, ""));

await Promise.all([stopInventory(), stopPayments(), tracker.stop()]);
await broker.stop();

/* prints:
released: reservation of 4711
order.placed  orders
└─ inventory.reserved  inventory
   └─ payment.declined  payments  failure
      └─ inventory.released  inventory  compensation
*/
