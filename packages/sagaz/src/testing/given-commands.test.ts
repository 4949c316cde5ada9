import { expect, test } from "vitest";
import { saga } from "../core/definition/builder.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import { given } from "./given.ts";
import { fails, inTurn, losesReply, neverSettles, returns, throwsError } from "./scripts.ts";

const DAY_MS = 86_400_000;
const reservation = unchecked<{ id: string }>();

const order = saga("order", { input: unchecked<{ sku: string }>() })
  .command("reserve", {
    topic: "inventory-commands",
    payload: (ctx) => ({ sku: ctx.input.sku }),
    result: reservation,
    undo: (ctx) => (ctx.outcome === "done" ? { id: ctx.result.id } : null),
  })
  .command("charge", {
    after: ["reserve"],
    topic: "payment-commands",
    command: "take_money",
    payload: (ctx) => ({ for: ctx.results.reserve.id }),
  })
  .build();

const impatient = saga("impatient")
  .command("reserve", {
    topic: "inventory-commands",
    payload: () => null,
    undo: () => null,
    replyTimeoutMs: 1_000,
  })
  .step("ship", { after: ["reserve"], do: () => "shipped" })
  .build();

test("a command's reply is the step's result, and what comes after sees it", async () => {
  const story = await given(order, { sku: "a" })
    .when({ reserve: returns({ id: "r1" }), charge: returns("charged") })
    .expect({ status: "completed", done: ["reserve", "charge"] });
  expect(story.output).toEqual({ reserve: { id: "r1" }, charge: "charged" });
  expect(story.events.map(({ type }) => type)).toEqual([
    "saga_started",
    "command_sent",
    "step_done",
    "command_sent",
    "step_done",
    "saga_completed",
  ]);
});

test("a business failure of a participant sends the saga back, and the undo is asked for", async () => {
  const story = await given(order, { sku: "a" })
    .when({ reserve: returns({ id: "r1" }), charge: fails("card declined", { limit: 3 }) })
    .expect({ status: "compensated", undone: ["reserve"], failedAt: "charge", failure: "card declined" });
  expect(story.calls).toEqual(["reserve", "charge", "undo reserve"]);
});

test("without a reply the saga is parked after seven days, and a cancel then undoes what may have been done", async () => {
  const story = await given(order, { sku: "a" })
    .when({ reserve: neverSettles() })
    .expect({ status: "parked", parked: "reply_timeout" });
  expect(story.tookMs).toBeGreaterThanOrEqual(7 * DAY_MS);
  expect(story.tookMs).toBeLessThan(7 * DAY_MS + 120_000);
});

test("with a time-out the participant is asked again, with the same key, until it answers", async () => {
  const keys = new Set<string>();
  const noted = inTurn(losesReply(), losesReply(), returns({ id: "r1" }));
  await given(impatient, null)
    .when({
      reserve: (ctx, own) => {
        keys.add(ctx.idempotencyKey);
        return noted(ctx, own);
      },
    })
    .expect({ status: "completed", attempts: { reserve: 3 } });
  expect(keys.size).toBe(1);
});

test("who never answers may have done it: it is undone", async () => {
  await given(impatient, null)
    .when({ reserve: neverSettles() })
    .expect({ status: "compensated", undone: ["reserve"], attempts: { reserve: 3 } });
});

test("the answer that nobody knows is asked about again", async () => {
  await given(order, { sku: "a" })
    .when({ reserve: inTurn(throwsError("database gone"), returns({ id: "r1" })) })
    .expect({ status: "completed", attempts: { reserve: 2 } });
});

test("an undo that is not answered is asked for again, and then is for a person", async () => {
  const story = await given(impatient, null)
    .when({ reserve: returns(1), ship: fails("no") })
    .whenUndone({ reserve: inTurn(losesReply(), throwsError(), returns()) })
    .expect({ status: "compensated", undone: ["reserve"] });
  expect(story.calls.filter((call) => call === "undo reserve")).toHaveLength(3);
  await given(impatient, null)
    .when({ reserve: returns(1), ship: fails("no") })
    .whenUndone({ reserve: fails("the parcel is gone") })
    .expect({ status: "parked", parked: "compensation_failed" });
});

test("a result that does not fit its schema counts as one that nobody knows, and is undone", async () => {
  const schema = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value: unknown) =>
        typeof value === "number" ? { value } : { issues: [{ message: "no number" }] },
    },
  } as const;
  const checked = saga("checked")
    .command("count", { topic: "t", payload: () => null, undo: () => null, result: schema })
    .build();
  await given(checked, null)
    .when({ count: returns("many") })
    .expect({ status: "compensated", undone: ["count"] });
});

test("an answer that cannot travel is told, and not waited for", async () => {
  const run = given(order, { sku: "a" })
    .when({ reserve: fails("no", 10n) })
    .run();
  await expect(run).rejects.toMatchObject({ code: "SAGAZ_NOT_JSON", details: { path: "$.error.details" } });
});
