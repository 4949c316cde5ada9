/** A pivot is the point of no return: before it a failure undoes everything, after it the saga tries until it is done. */
import { InMemoryStorage, SagaOrchestrator, isSagaError, saga, unchecked } from "sagaz";

let printerJams = 2;

const ticket = saga("ticket", { input: unchecked<{ readonly seat: string }>() })
  .step("hold_seat", {
    do: (ctx) => console.log(`hold seat ${ctx.input.seat}`),
    undo: (ctx) => console.log(`free seat ${ctx.input.seat}`),
  })
  .pivot("pay", { after: ["hold_seat"], do: () => console.log("paid: no way back from here") })
  .step("print", {
    after: ["pay"],
    retry: { initialMs: 5 },
    do: () => {
      if (printerJams-- > 0) throw new Error("paper jam");
      console.log("printed, at the third attempt");
    },
  })
  .build();

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [ticket] });
await orchestrator.start();
const { sagas } = orchestrator;

const started = await sagas.start(ticket, { seat: "14C" });
const { status } = await started.result();
console.log(status);

try {
  await sagas.cancel(started.id, { reason: "changed my mind", actor: "customer" });
} catch (error) {
  console.log(isSagaError(error, "SAGAZ_PIVOT_PASSED") ? "too late to cancel" : error);
}

/* prints:
hold seat 14C
paid: no way back from here
printed, at the third attempt
completed
too late to cancel
*/
