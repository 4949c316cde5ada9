/** A step that writes to the same database is done exactly once: its rows commit together with its result. */
import { SagaOrchestrator, saga, unchecked } from "sagaz";
import { EmbeddedPostgreSQLStorage } from "sagaz/embedded";

const booking = saga("booking", { input: unchecked<{ readonly account: string; readonly cents: number }>() })
  .step("book", {
    transactional: true,
    do: async (ctx) => {
      await ctx.tx("create table if not exists bookings (account text, cents int)");
      await ctx.tx("insert into bookings values ($1, $2)", [ctx.input.account, ctx.input.cents]);
      const [row] = await ctx.tx("select count(*)::int as n from bookings where account = $1", [
        ctx.input.account,
      ]);
      return { bookings: row?.["n"] as number };
    },
  })
  .build();

const storage = new EmbeddedPostgreSQLStorage({ dataDir: ".sagaz/examples" });
await using orchestrator = new SagaOrchestrator({ storage, sagas: [booking] });
await orchestrator.start();
const started = await orchestrator.sagas.start(booking, {
  account: `A-${process.pid}-${Date.now()}`,
  cents: 500,
});
console.log(
  await started.result().then(({ status, output }) => `${status}: ${output?.book.bookings} booking`),
);

/* prints:
completed: 1 booking
*/
