/** A saga that waits for events from outside: an approval, a webhook. While it waits it needs neither memory nor worker. */
import { InMemoryStorage, SagaOrchestrator, saga, unchecked } from "sagaz";

const expense = saga("expense", { input: unchecked<{ readonly cents: number }>() })
  .step("file", { do: (ctx) => console.log(`filed: ${ctx.input.cents}`) })
  .signal("approval", {
    after: ["file"],
    waitMs: 7 * 24 * 3_600_000, // then the saga is parked
    payload: unchecked<{ readonly by: string }>(),
  })
  .signal("bank_confirmation", { after: ["approval"] })
  .step("close", {
    after: ["bank_confirmation"],
    do: (ctx) => console.log(`closed, approved by ${ctx.results.approval.by}`),
  })
  .build();

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [expense] });
await orchestrator.start();
const { sagas } = orchestrator;

const started = await sagas.start(expense, { cents: 4_200 });

// It may come before its step is reached, and it may come twice: a repeated `signalId` is dropped.
await sagas.signal(started.id, "approval", { by: "ann" }, { signalId: "mail-17" });
await sagas.signal(started.id, "approval", { by: "ann" }, { signalId: "mail-17" });

try {
  await sagas.signal(started.id, "bank_confirmaton");
} catch (error) {
  console.log((error as Error).message);
}
await sagas.signal(started.id, "bank_confirmation");
console.log((await started.result()).status);

/* prints:
filed: 4200
SAGAZ_UNKNOWN_SIGNAL  saga "expense" waits for no signal named "bank_confirmaton". Did you mean "bank_confirmation"?
closed, approved by ann
completed
*/
