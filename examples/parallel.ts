/** A graph: steps without a common dependency run side by side, and so do their undos, each after what came of it. */
import { ClassicSaga, fail } from "sagaz";

const log = (text: string) => () => console.log(text);

const festival = new ClassicSaga({ name: "festival" })
  .addStep("book_stage", log("stage booked"), log("stage cancelled"))
  .addStep("book_band", log("band booked"), log("band cancelled"))
  .addStep("sell_tickets", log("tickets sold"), log("tickets refunded"), {
    dependsOn: ["book_stage", "book_band"],
  })
  .addStep("hire_guards", log("guards hired"), log("guards sent home"), { dependsOn: ["book_stage"] })
  .addStep(
    "check_weather",
    () => {
      throw fail("storm");
    },
    undefined,
    { dependsOn: ["sell_tickets", "hire_guards"] },
  );

const { status, failure } = await festival.execute({});
console.log(status, failure?.kind === "step" ? `at ${failure.step}` : "");

// Guards need the stage only, so they do not wait for the band; and the stage goes when both its dependents are gone.

/* prints:
stage booked
band booked
guards hired
tickets sold
tickets refunded
guards sent home
band cancelled
stage cancelled
compensated at check_weather
*/
