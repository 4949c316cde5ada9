/** Steps that other services do: each asked by a message, undone by another, and answering once however often it is asked. */
import {
  fail,
  InMemoryBroker,
  InMemoryStorage,
  OutboxWorker,
  Participant,
  saga,
  SagaOrchestrator,
  unchecked,
  type CommandContext,
  type Commands,
} from "sagaz";

interface Order {
  readonly sku: string;
  readonly cents: number;
}

const order = saga("order", { input: unchecked<Order>() })
  .command("reserve", {
    topic: "inventory-commands",
    payload: (ctx) => ({ sku: ctx.input.sku }),
    result: unchecked<{ reservation: string }>(),
    undo: () => null, // the participant knows what it did
  })
  .command("charge", {
    after: ["reserve"],
    topic: "payment-commands",
    payload: (ctx) => ({ cents: ctx.input.cents, for: ctx.results.reserve.reservation }),
  })
  .build();

const broker = new InMemoryBroker();
const running: { stop(): Promise<void> }[] = [];

/** A service has a database of its own, and an outbox through which it answers. */
async function startService(name: string, commands: Commands): Promise<void> {
  const parts = { storage: new InMemoryStorage(), broker: new InMemoryBroker({ beside: broker }) };
  const participant = new Participant({ ...parts, name, commands });
  const relay = new OutboxWorker(parts);
  await participant.start();
  await relay.start();
  running.push(participant, relay);
}

await startService("inventory", {
  reserve: {
    do: ({ payload }: CommandContext<{ sku: string }>) => {
      console.log(`inventory: reserved ${payload.sku}`);
      return { reservation: `reservation of ${payload.sku}` };
    },
    undo: ({ result }: { result: { reservation: string } }) => {
      console.log(`inventory: released the ${result.reservation}`);
    },
  },
});

await startService("payment", {
  charge: {
    do: ({ payload }: CommandContext<{ cents: number }>) => {
      if (payload.cents > 10_000) throw fail("over the limit");
      console.log(`payment: charged ${payload.cents}`);
    },
  },
});

const parts = { storage: new InMemoryStorage(), broker: new InMemoryBroker({ beside: broker }) };
const orchestrator = new SagaOrchestrator({
  storage: parts.storage,
  sagas: [order],
  replies: { topic: "order-replies", broker: parts.broker },
});
const relay = new OutboxWorker(parts);
await orchestrator.start();
await relay.start();
running.push(orchestrator, relay);

for (const input of [
  { sku: "tea", cents: 500 },
  { sku: "gold", cents: 500_000 },
]) {
  const { result } = await orchestrator.sagas.start(order, input);
  const { status, failure } = await result();
  const why = failure?.kind === "step" ? ` (${failure.error.message})` : "";
  console.log(`order of ${input.sku}: ${status}${why}`);
}
for (const one of running) await one.stop();

/* prints:
inventory: reserved tea
payment: charged 500
order of tea: completed
inventory: reserved gold
inventory: released the reservation of gold
order of gold: compensated (over the limit)
*/
