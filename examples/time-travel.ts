/** The journal is the saga's source of truth: what was known at any time, or after any event, can be asked for. */
import { ClassicSaga, InMemoryStorage, SagaOrchestrator, fail } from "sagaz";

const order = new ClassicSaga({ name: "order", sequential: true })
  .addStep(
    "reserve",
    () => "B7",
    () => {},
  )
  .addStep("charge", () => {
    throw fail("card declined");
  });

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [order] });
await orchestrator.start();
const { sagas } = orchestrator;
const { id } = await sagas.start(order, {});
await sagas.result(id);

for (const { seq, type } of await sagas.events(id)) {
  const { status, steps } = await sagas.stateAt(id, { seq });
  console.log(`${seq} ${type}: ${status}, ${steps.map((step) => `${step.step} ${step.status}`).join(", ")}`);
}

/* prints:
1 saga_started: running, reserve running, charge pending
2 step_done: running, reserve done, charge running
3 step_failed: running, reserve done, charge failed
4 compensation_started: compensating, reserve done, charge failed
5 step_compensated: compensating, reserve compensated, charge failed
6 saga_compensated: compensated, reserve compensated, charge failed
*/
