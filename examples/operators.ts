/** What a person can do: cancel, look at what would be undone, and help a saga that is parked. All of it leaves a trace. */
import { InMemoryStorage, SagaOrchestrator, fail, saga, unchecked } from "sagaz";

let isBankOpen = false;

const rental = saga("rental", { input: unchecked<{ readonly car: string }>() })
  .step("reserve_car", { do: () => "K-AB 12", undo: () => console.log("car released") })
  .step("take_deposit", {
    after: ["reserve_car"],
    do: () => "D-1",
    undo: () => {
      if (!isBankOpen) throw fail("the bank is closed");
      console.log("deposit paid back");
    },
  })
  .signal("car_returned", { after: ["take_deposit"] })
  .build();

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [rental] });
await orchestrator.start();
const { sagas } = orchestrator;
const { id } = await sagas.start(rental, { car: "small" });
await sagas.pause(id, { reason: "look at the papers first", actor: "ann" });
await sagas.resume(id, { reason: "papers are fine", actor: "ann" });

console.log("would be undone:", (await sagas.plan(id)).layers);
await sagas.cancel(id, { reason: "customer called", actor: "ann" });
const { status, parked } = await sagas.result(id, { orParked: true });
console.log(status, parked);

isBankOpen = true;
await sagas.retry(id, { reason: "the bank has opened", actor: "bob" });
console.log((await sagas.result(id)).status);

for (const { type, data } of await sagas.events(id))
  if ("actor" in data) console.log(`  ${type} by ${data.actor}: ${data.reason}`);

/* prints:
would be undone: [ [ 'take_deposit' ], [ 'reserve_car' ] ]
parked { reason: 'compensation_failed', step: 'take_deposit' }
deposit paid back
car released
compensated
  saga_paused by ann: look at the papers first
  saga_resumed by ann: papers are fine
  cancel_requested by ann: customer called
  retry_requested by bob: the bank has opened
*/
