import { expect, test } from "vitest";
import { Stage } from "../../../../tests/engine/stage.ts";
import { saga as build } from "../core/definition/builder.ts";
import { fail } from "../core/decide/outcome.ts";
import { OUTBOX_SHARDS } from "../core/delivery/shard.ts";
import type { PendingEvent } from "../ports/outbox.ts";
import type { SagaStorage } from "../ports/storage.ts";

const shards = Array.from({ length: OUTBOX_SHARDS }, (_, shard) => shard);

/** What waits to be published, with JSON as a text: some storages hand over its bytes. */
async function pendingIn({ storage }: Stage): Promise<readonly (PendingEvent & { payload: string })[]> {
  const events = await take(storage);
  return events.map((event) => ({ ...event, payload: Buffer.from(event.payload).toString() }));
}

async function take({ outbox }: SagaStorage): Promise<readonly PendingEvent[]> {
  const usual = { limit: 1_000, bytesMax: 1_000_000, inFlight: [], held: [], again: 1 };
  return (await outbox.take({ epoch: 0, shards, ...usual })).events;
}

const typesOf = (events: readonly PendingEvent[]) => events.map(({ type }) => type);

test("what a step publishes goes out with its result, as the saga's own", async () => {
  await using stage = await Stage.open();
  const saga = build("order")
    .step("charge", {
      do: (ctx) => {
        ctx.publish({ topic: "orders", type: "order.charged", payload: { total: 1.5 } });
        ctx.publish({ topic: "audit", type: "audit.noted", key: "k", payload: null, headers: { note: "x" } });
        return "charged";
      },
    })
    .build();
  const process = await stage.process(saga);
  const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01" };
  const handle = await stage.start(process, saga, undefined, { correlationId: "corr-7", headers });
  await stage.end(handle);
  const [charged, noted] = await pendingIn(stage);
  expect(charged).toMatchObject({
    topic: "orders",
    type: "order.charged",
    key: handle.id,
    sagaId: handle.id,
    aggregateType: "order",
    aggregateId: handle.id,
    source: "/sagaz/order",
    correlationId: "corr-7",
    traceparent: headers.traceparent,
    headers: null,
    payload: '{"total":1.5}',
  });
  expect(noted).toMatchObject({ topic: "audit", key: "k", headers: '{"note":"x"}', payload: "null" });
  expect(charged?.eventId).not.toBe(noted?.eventId);
});

test("only the attempt whose result is recorded publishes; compensations do too", async () => {
  await using stage = await Stage.open();
  const saga = build("trip")
    .step("flight", {
      do: (ctx) => {
        ctx.publish({ topic: "t", type: `flight.booked.${ctx.attempt}`, payload: null });
        if (ctx.attempt < 3) throw new Error("try again");
      },
      undo: (ctx) => {
        ctx.publish({ topic: "t", type: `flight.cancelled.${ctx.attempt}`, payload: null });
        if (ctx.attempt < 2) throw new Error("try again");
      },
    })
    .step("hotel", {
      after: ["flight"],
      do: (ctx) => {
        ctx.publish({ topic: "t", type: "hotel.booked", payload: null });
        throw fail("no room");
      },
    })
    .build();
  const process = await stage.process(saga);
  await stage.run(process, saga, undefined);
  expect(typesOf(await pendingIn(stage))).toEqual(["flight.booked.3", "flight.cancelled.2"]);
});

test("items of a map and what lists them publish in the order of their records", async () => {
  await using stage = await Stage.open();
  const saga = build("list")
    .map("items", {
      over: (ctx) => {
        ctx.publish({ topic: "t", type: "listed", payload: null });
        return ["a", "b"];
      },
      concurrency: 1,
      do: (ctx) => ctx.publish({ topic: "t", type: `item.${ctx.item}`, payload: null }),
    })
    .build();
  await stage.run(await stage.process(saga), saga, undefined);
  expect(typesOf(await pendingIn(stage))).toEqual(["listed", "item.a", "item.b"]);
});

test("what `verify` publishes goes out when it finds the step done, and not when it does not", async () => {
  await using stage = await Stage.open();
  const verdicts = ["unknown", "done"];
  const saga = build("asked")
    .step("pay", {
      timeoutMs: 1_000,
      do: (ctx) => {
        ctx.publish({ topic: "t", type: "never", payload: null });
        return new Promise<string>(() => {});
      },
      verify: (ctx) => {
        const outcome = verdicts.shift() === "done" ? "done" : "not_done";
        ctx.publish({ topic: "t", type: `verified.${outcome}`, payload: null });
        return outcome === "done" ? { outcome, result: "paid" } : { outcome };
      },
    })
    .build();
  await stage.run(await stage.process(saga), saga, undefined);
  expect(typesOf(await pendingIn(stage))).toEqual(["verified.done"]);
});

test.each<[what: string, code: string, misuse: (publish: (event: never) => void) => void]>([
  [
    "a bad topic",
    "SAGAZ_INVALID_EVENT",
    (publish) => publish({ topic: "a b", type: "t", payload: null } as never),
  ],
  ["no JSON", "SAGAZ_NOT_JSON", (publish) => publish({ topic: "a", type: "t", payload: 1n } as never)],
  [
    "too much",
    "SAGAZ_PAYLOAD_TOO_LARGE",
    (publish) => publish({ topic: "a", type: "t", payload: "x".repeat(1_048_576) } as never),
  ],
  [
    "too many",
    "SAGAZ_TOO_MANY_EVENTS",
    (publish) => {
      for (let n = 0; n <= 1_000; n++) publish({ topic: "a", type: "t", payload: n } as never);
    },
  ],
])("an event with %s fails its step with %s, and nothing is published", async (_, code, misuse) => {
  await using stage = await Stage.open();
  const saga = build("misuse")
    .step("step", { retry: { maxAttempts: 1 }, do: (ctx) => misuse((event) => ctx.publish(event)) })
    .build();
  const result = await stage.run(await stage.process(saga), saga, undefined);
  expect(result.status).toBe("compensated");
  expect(JSON.stringify(result.failure)).toContain(code);
  expect(await pendingIn(stage)).toEqual([]);
});

test("what is published after the step has returned is refused, loudly", async () => {
  await using stage = await Stage.open();
  let late: unknown;
  const saga = build("late")
    .step("step", {
      do: (ctx) => {
        void Promise.resolve()
          .then(() => Promise.resolve())
          .then(() => Promise.resolve())
          .then(() => ctx.publish({ topic: "t", type: "late", payload: null }))
          .catch((error: unknown) => {
            late = error;
          });
        return "returned";
      },
    })
    .build();
  await stage.run(await stage.process(saga), saga, undefined);
  await expect.poll(() => late).toMatchObject({ code: "SAGAZ_CALL_SETTLED" });
  expect(await pendingIn(stage)).toEqual([]);
});
