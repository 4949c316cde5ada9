/** A durable timer: it outlives the process that set it. Here the first orchestrator stops while the saga sleeps. */
import { InMemoryStorage, SagaOrchestrator, saga } from "sagaz";

const trial = saga("trial")
  .step("open_account", { do: () => console.log("account opened") })
  .sleep("trial_period", { after: ["open_account"], forMs: 200 }) // or days, or (ctx) => milliseconds
  .step("send_invoice", { after: ["trial_period"], do: () => console.log("invoice sent") })
  .build();

const storage = new InMemoryStorage(); // stands for a database that both use

const first = new SagaOrchestrator({ storage, sagas: [trial] });
await first.start();
const { id } = await first.sagas.start(trial, {});
await first.stop();
console.log("the first orchestrator has stopped");

await using second = new SagaOrchestrator({ storage, sagas: [trial] });
await second.start();
console.log((await second.sagas.result(id)).status);

/* prints:
account opened
the first orchestrator has stopped
invoice sent
completed
*/
