/** The typed builder: results of earlier steps have their types, and what makes no sense does not compile. */
import { InMemoryStorage, SagaOrchestrator, saga } from "sagaz";
import { z } from "zod";

const trip = saga("trip", { input: z.object({ from: z.string(), to: z.string() }) })
  .step("flight", {
    do: (ctx) => ({ seat: "14C", cents: 12_900, route: `${ctx.input.from}-${ctx.input.to}` }),
    undo: (ctx) => console.log(`cancel seat ${ctx.result.seat}`),
  })
  .step("hotel", {
    do: () => ({ room: 204, cents: 8_900 }),
    undo: (ctx) => console.log(`cancel room ${ctx.result.room}`),
  })
  .step("pay", {
    after: ["flight", "hotel"],
    do: (ctx) => ({ paid: ctx.results.flight.cents + ctx.results.hotel.cents }),
  })
  // @ts-expect-error: a step that does not exist, "fligth", cannot be waited for
  .step("insure", { after: ["fligth"], do: () => ({ policy: "none" }) });

// What does not compile is also refused when it runs.
try {
  trip.build();
} catch (error) {
  console.log((error as Error).message);
}

const good = saga("trip", { input: z.object({ from: z.string(), to: z.string() }) })
  .step("flight", { do: (ctx) => ({ seat: "14C", route: `${ctx.input.from}-${ctx.input.to}` }) })
  .build({ output: (results) => `${results.flight.route}, seat ${results.flight.seat}` });

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [good] });
await orchestrator.start();
const started = await orchestrator.sagas.start(good, { from: "OSL", to: "LIS" });
const { output } = await started.result(); // string | undefined
console.log(output);

/* prints:
SAGAZ_UNKNOWN_DEPENDENCY  step "insure" of "trip" depends on "fligth", which does not exist. Did you mean "flight"?
OSL-LIS, seat 14C
*/
