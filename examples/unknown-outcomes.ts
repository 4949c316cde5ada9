/** A lost reply is no failure: nobody knows whether the card was charged. The engine asks `verify` before it does more. */
import { InMemoryStorage, SagaOrchestrator, outcomeUnknown, saga, unchecked } from "sagaz";

/** What a payment provider has charged. Whenever it has, the line breaks before it can say so. */
const provider = new Map<string, { readonly receipt: string }>();
const isLineUp = () => provider.size === 0;

const payment = saga("payment", { input: unchecked<{ readonly reachable: boolean }>() })
  .step("charge", {
    retry: { maxAttempts: 1 },
    do: (ctx) => {
      console.log("charge");
      const charge = { receipt: "R-1" };
      provider.set(ctx.idempotencyKey, charge);
      if (!isLineUp()) throw outcomeUnknown("the connection broke before the answer came");
      return charge;
    },
    verify: (ctx) => {
      if (!ctx.input.reachable) return { outcome: "unknown" };
      const result = provider.get(ctx.idempotencyKey);
      console.log("ask the provider:", result ? "it was charged" : "it was not");
      return result ? { outcome: "done", result } : { outcome: "not_done" };
    },
    // Undone without being sure that it was done: by the key of the action, which the provider remembers.
    undo: (ctx) => console.log(`outcome ${ctx.outcome}, refunded: ${provider.delete(ctx.actionKey)}`),
  })
  .build();

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [payment] });
await orchestrator.start();
for (const reachable of [true, false]) {
  const started = await orchestrator.sagas.start(payment, { reachable });
  const { status, output } = await started.result();
  console.log(status, output ? output.charge : "and nothing is charged");
}

/* prints:
charge
ask the provider: it was charged
completed { receipt: 'R-1' }
charge
outcome unknown, refunded: true
compensated and nothing is charged
*/
