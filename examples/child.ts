/** A saga as a step of another: undoing the step undoes the whole child. */
import { InMemoryStorage, SagaOrchestrator, fail, saga, unchecked } from "sagaz";

const delivery = saga("delivery", { input: unchecked<{ readonly city: string }>() })
  .step("book_truck", { do: () => console.log("truck booked"), undo: () => console.log("truck sent home") })
  .step("load", {
    after: ["book_truck"],
    do: (ctx) => ({ goingTo: ctx.input.city }),
    undo: () => console.log("unloaded"),
  })
  .build({ output: (results) => results.load.goingTo });

const order = saga("order", { input: unchecked<{ readonly city: string }>() })
  .child("delivery", { saga: delivery, input: (ctx) => ({ city: ctx.input.city }) })
  .step("charge", {
    after: ["delivery"],
    do: (ctx) => {
      console.log(`charge for the way to ${ctx.results.delivery}`);
      throw fail("card declined");
    },
  })
  .build();

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [order] });
await orchestrator.start();
const started = await orchestrator.sagas.start(order, { city: "Graz" });
console.log((await started.result()).status);

/* prints:
truck booked
charge for the way to Graz
unloaded
truck sent home
compensated
*/
