/** The classic form: steps are added one by one; each has an action, then its compensation, then options. */
import { ClassicSaga, fail } from "sagaz";

const transfer = new ClassicSaga<{ readonly cents: number }>({ name: "transfer", sequential: true })
  .addStep(
    "withdraw",
    (ctx) => console.log(`take ${ctx.input.cents} from the giro account`),
    (ctx) => console.log(`give ${ctx.input.cents} back`),
  )
  .addStep("deposit", (ctx) => {
    if (ctx.input.cents > 10_000) throw fail("the savings account takes no more than 10000");
    console.log(`put ${ctx.input.cents} on the savings account`);
  });

for (const cents of [5_000, 50_000]) console.log((await transfer.execute({ cents })).status);

/* prints:
take 5000 from the giro account
put 5000 on the savings account
completed
take 50000 from the giro account
give 50000 back
compensated
*/
