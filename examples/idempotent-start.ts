/** One key, one saga: whoever sends the order twice, from whatever process, gets the saga that is there already. */
import { ClassicSaga, InMemoryStorage, SagaOrchestrator } from "sagaz";

interface Order {
  readonly orderId: string;
  readonly cents: number;
}
const order = new ClassicSaga<Order>({ name: "order" }).addStep("charge", (ctx) =>
  console.log(`charge ${ctx.input.cents}`),
);

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [order] });
await orchestrator.start();
const { sagas } = orchestrator;

const first = await sagas.start(order, { orderId: "4711", cents: 990 }, { idempotencyKey: "4711" });
await first.result();
const again = await sagas.start(order, { orderId: "4711", cents: 990 }, { idempotencyKey: "4711" });
console.log("the same saga:", again.id === first.id, "new:", again.isNew);

try {
  await sagas.start(order, { orderId: "4711", cents: 1 }, { idempotencyKey: "4711" });
} catch (error) {
  console.log((error as Error).message.replace(first.id, "…"));
}

/* prints:
charge 990
the same saga: true new: false
SAGAZ_IDEMPOTENCY_CONFLICT  the idempotency key "4711" of "order" was used before with a different input (saga …). Use a new key for a new order.
*/
