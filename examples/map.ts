/** One step over a list: each item has its own outcome, its own idempotency key and its own undo. */
import { InMemoryStorage, SagaOrchestrator, fail, saga, unchecked } from "sagaz";

const tour = saga("tour", { input: unchecked<{ readonly cities: readonly string[] }>() })
  .map("book_hotel", {
    over: (ctx) => ctx.input.cities,
    concurrency: 1,
    do: (ctx) => {
      if (ctx.item === "Atlantis") throw fail("no hotel in Atlantis");
      console.log(`booked in ${ctx.item}`);
      return { room: 100 + ctx.index };
    },
    undo: (ctx) => console.log(`cancelled room ${ctx.result.room} in ${ctx.item}`),
  })
  .build({ output: (results) => results.book_hotel.map(({ room }) => room) });

await using orchestrator = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [tour] });
await orchestrator.start();
for (const cities of [
  ["Porto", "Lisbon"],
  ["Athens", "Atlantis"],
]) {
  const started = await orchestrator.sagas.start(tour, { cities });
  const { status, output } = await started.result();
  console.log(output ? `${status}: rooms ${output.join(", ")}` : status);
}

/* prints:
booked in Porto
booked in Lisbon
completed: rooms 100, 101
booked in Athens
cancelled room 100 in Athens
compensated
*/
