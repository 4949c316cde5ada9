import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { unchecked } from "../core/definition/standard-schema.ts";
import type { StandardSchema } from "../core/definition/standard-schema.ts";
import { Stage, Trace, gate, joinsTransactions } from "../../../../tests/engine/stage.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { SagaOrchestrator } from "./orchestrator.ts";

const one = (name = "one") => new ClassicSaga<unknown>({ name }).addStep("a", () => 1);

describe("start", () => {
  test("answers once the saga is on record, by definition or by name", async () => {
    await using stage = await Stage.open();
    const working = gate();
    const saga = build("by-name", { input: unchecked<number>() })
      .step("a", { do: (ctx) => working.promise.then(() => ctx.input) })
      .build();
    const process = await stage.process(saga);
    const handle = await stage.start(process, "by-name", 5);
    expect(handle.isNew).toBe(true);
    expect(await stage.drive(process.sagas.get(handle.id))).toMatchObject({
      sagaName: "by-name",
      version: 1,
      status: "running",
      input: 5,
      steps: [{ step: "a", status: "running" }],
    });
    working.open();
    expect((await stage.end(handle)).output).toEqual({ a: 5 });
  });

  test.each([
    ["without a schema", undefined],
    ["with one that answers at once", unchecked<{ amount: number }>()],
  ])(
    "takes what it was given, whatever the caller does with its objects afterwards: %s",
    async (_, input) => {
      await using stage = await Stage.open();
      const saga = build("taken", input ? { input } : {})
        .step("a", { do: (ctx) => ctx.input })
        .build();
      const process = await stage.process(saga);
      const order = { amount: 100 };
      const options = { idempotencyKey: "k1" };
      const first = process.sagas.start(saga, order, options);
      order.amount = 200;
      options.idempotencyKey = "k2";
      const second = process.sagas.start(saga, order, options);
      const handles = await stage.drive(Promise.all([first, second]));
      const results = [await stage.end(handles[0]), await stage.end(handles[1])];
      expect(results.map(({ output }) => output)).toEqual([{ a: { amount: 100 } }, { a: { amount: 200 } }]);
    },
  );

  test("`startAt`: not before this time", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "later" }).addStep("a", trace.note("a"));
    const process = await stage.process(saga);
    const began = stage.clock.now();
    const handle = await stage.start(process, saga, null, { startAt: new Date(began + 600_000) });
    await stage.clock.advance(590_000);
    expect(trace.calls).toEqual([]);
    expect(await stage.drive(process.sagas.get(handle.id))).toMatchObject({
      status: "pending",
      waitingFor: "start",
      wakeAt: new Date(began + 600_000),
    });
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(stage.clock.now() - began).toBeLessThan(630_000);
    expect((await stage.history(process, handle.id)).slice(0, 2)).toEqual(["saga_started", "saga_admitted"]);
  });

  test("the saga's time-out begins when it may start", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "later-timeout", timeoutMs: 60_000 }).addStep(
      "a",
      trace.slow("a", { ms: 1_000 }),
    );
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null, { startAt: new Date(stage.clock.now() + 600_000) });
    expect(await stage.end(handle)).toMatchObject({ status: "completed" });
  });

  test("a name or a definition that is not registered is a coded error", async () => {
    await using stage = await Stage.open();
    const process = await stage.process(one("order-processing"));
    await expect(stage.start(process, "order-procesing", null)).rejects.toMatchObject({
      code: "SAGAZ_UNKNOWN_SAGA",
      message: expect.stringContaining('Did you mean "order-processing"?') as string,
    });
    await expect(stage.start(process, one("other"), null)).rejects.toMatchObject({
      code: "SAGAZ_UNKNOWN_SAGA",
    });
    await expect(stage.start(process, {} as never, null)).rejects.toMatchObject({
      code: "SAGAZ_NOT_A_DEFINITION",
    });
  });

  test("an input is validated at the border, and what its schema makes of it is the input", async () => {
    await using stage = await Stage.open();
    const trimmed: StandardSchema<unknown, string> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: async (value) =>
          typeof value === "string"
            ? { value: value.trim() }
            : { issues: [{ message: "not text", path: ["a", { key: "b" }] }, { message: "also bad" }] },
      },
    };
    const saga = build("validated", { input: trimmed })
      .step("a", { do: (ctx) => ctx.input })
      .build();
    const process = await stage.process(saga);
    expect((await stage.run(process, saga, "  x ")).output).toEqual({ a: "x" });
    await expect(stage.start(process, saga, 5 as never)).rejects.toMatchObject({
      code: "SAGAZ_INPUT_INVALID",
      details: { issues: "a.b: not text; also bad" },
    });
    expect((await stage.drive(process.sagas.list())).sagas).toHaveLength(1);
  });

  test.each([
    ["a Map", new Map()],
    ["a Date", { at: new Date(0) }],
    ["NaN", [Number.NaN]],
    ["a function", { f: () => 1 }],
    ["a bigint", 1n],
  ])("an input that is not JSON is refused: %s", async (_, input) => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.process(saga);
    await expect(stage.start(process, saga, input)).rejects.toMatchObject({ code: "SAGAZ_NOT_JSON" });
  });

  test("an input above payloadBytesMax is refused; bytes count, not characters", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.processWith({ sagas: [saga], payloadBytesMax: 100 });
    await expect(stage.start(process, saga, "€".repeat(40))).rejects.toMatchObject({
      code: "SAGAZ_PAYLOAD_TOO_LARGE",
      details: { bytes: 122, limit: 100 },
    });
    expect(await stage.run(process, saga, "e".repeat(40))).toMatchObject({ status: "completed" });
  });

  test("no input at all is null", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga<undefined>({ name: "none" }).addStep("a", (ctx) => [ctx.input]);
    expect((await stage.run(await stage.process(saga), saga, undefined)).output).toEqual({ a: [null] });
  });

  test("before start() and after stop() it is refused", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.process(saga);
    await process.stop();
    await expect(stage.start(process, saga, null)).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
    expect(() => process.orchestrator.sagas).not.toThrow();
  });

  test("a full process leaves what it starts to others, or to later", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga<number>({ name: "room" }).addStep("a", trace.slow("a", { ms: 1_000 }));
    const process = await stage.processWith({ sagas: [saga], sagasInFlightMax: 2 });
    const handles = await stage.drive(Promise.all([1, 2, 3, 4, 5].map((n) => process.sagas.start(saga, n))));
    expect(process.orchestrator.sagasInFlight).toBeLessThanOrEqual(2);
    const results = await stage.drive(Promise.all(handles.map((handle) => handle.result())));
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => "completed"));
  });
});

describe("an idempotency key", () => {
  test("seen before returns the first saga", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.process(saga);
    const options = { idempotencyKey: "4711" };
    const first = await stage.start(process, saga, { a: 1, b: [2] }, options);
    const again = await stage.start(process, saga, { b: [2], a: 1 }, options);
    expect([again.id, again.isNew]).toEqual([first.id, false]);
    expect(await stage.end(again)).toMatchObject({ status: "completed" });
    const later = await stage.start(process, saga, { a: 1, b: [2] }, options);
    expect(later.id).toBe(first.id);
  });

  test("with a different input is an error, not a silent hit", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.process(saga);
    const first = await stage.start(process, saga, 1, { idempotencyKey: "k" });
    await expect(stage.start(process, saga, 2, { idempotencyKey: "k" })).rejects.toMatchObject({
      code: "SAGAZ_IDEMPOTENCY_CONFLICT",
      details: { sagaId: first.id },
    });
  });

  test("belongs to its definition and its tenant", async () => {
    await using stage = await Stage.open();
    const [a, b] = [one("a"), one("b")];
    const process = await stage.process(a, b);
    const key = { idempotencyKey: "k" };
    const ids = [
      await stage.start(process, a, 1, key),
      await stage.start(process, b, 1, key),
      await stage.start(process, a, 1, { ...key, tenantId: "t1" }),
      await stage.start(process, a, 1, { ...key, tenantId: "t2" }),
    ].map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
  });

  test("in two racing starts, in one process or in two, makes one saga", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga<number>({ name: "race" }).addStep("a", trace.note("a"));
    const first = await stage.process(saga);
    const second = await stage.process(saga);
    const key = { idempotencyKey: "k" };
    const handles = await stage.drive(
      Promise.all([
        first.sagas.start(saga, 1, key),
        first.sagas.start(saga, 1, key),
        second.sagas.start(saga, 1, key),
        second.sagas.start(saga, 1, key),
      ]),
    );
    expect(new Set(handles.map(({ id }) => id)).size).toBe(1);
    expect(handles.filter(({ isNew }) => isNew)).toHaveLength(1);
    await stage.drive(Promise.all(handles.map((handle) => handle.result())));
    expect(trace.calls).toEqual(["a"]);
  });
});

// Where the storage can take part in no transaction there is nothing to tell of.
const describeJoined = joinsTransactions ? describe : () => {};

describeJoined("a start whose key another open transaction holds", () => {
  test("waits for that, and nobody with another key waits with it", async () => {
    await using stage = await Stage.open();
    const saga = one("held");
    const process = await stage.process(saga);
    const holder = await stage.room.begin();
    const first = await stage.start(process, saga, 1, { tx: holder.tx, idempotencyKey: "held" });
    let isHeld = true;
    const waiting = process.sagas.start(saga, 1, { idempotencyKey: "held" });
    void waiting.finally(() => (isHeld = false)).catch(() => {});
    const keys = Array.from({ length: 5 }, (_, n) => `free-${n}`);
    const others = keys.map((idempotencyKey) => process.sagas.start(saga, 1, { idempotencyKey }));
    const started = await stage.drive(Promise.all(others));
    expect(started.map(({ isNew }) => isNew)).toEqual(keys.map(() => true));
    expect(isHeld).toBe(true);
    await holder.commit();
    expect(await stage.drive(waiting)).toMatchObject({ id: first.id, isNew: false });
  });

  test("and goes on holding: SAGAZ_START_IN_PROGRESS, after a second", async () => {
    await using stage = await Stage.open();
    const saga = one("held-on");
    const process = await stage.process(saga);
    const holder = await stage.room.begin();
    await stage.start(process, saga, 1, { tx: holder.tx, idempotencyKey: "held" });
    const began = stage.clock.now();
    await expect(stage.start(process, saga, 1, { idempotencyKey: "held" })).rejects.toMatchObject({
      code: "SAGAZ_START_IN_PROGRESS",
      retryable: true,
    });
    const took = stage.clock.now() - began;
    expect(took).toBeGreaterThanOrEqual(1_000);
    expect(took).toBeLessThan(2_500);
    await holder.rollback();
    const again = await stage.start(process, saga, 1, { idempotencyKey: "held" });
    expect(again.isNew).toBe(true);
  });
});

describeJoined("a start in the caller's own transaction", () => {
  test("exists if and only if that commits", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga<string>({ name: "joined" }).addStep(
      "a",
      (ctx) => void trace.calls.push(ctx.input),
    );
    const process = await stage.process(saga);
    const [kept, dropped] = [await stage.room.begin(), await stage.room.begin()];
    const yes = await stage.start(process, saga, "kept", { tx: kept.tx });
    const no = await stage.start(process, saga, "dropped", { tx: dropped.tx });
    await stage.clock.advance(5_000);
    expect(trace.calls).toEqual([]);
    await kept.commit();
    await dropped.rollback();
    expect(await stage.end(yes)).toMatchObject({ status: "completed" });
    await stage.clock.advance(60_000);
    expect(trace.calls).toEqual(["kept"]);
    expect(await stage.drive(process.sagas.find(no.id))).toBeUndefined();
  });

  test("with a key finds the saga that has it", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.process(saga);
    const key = { idempotencyKey: "k" };
    const first = await stage.start(process, saga, 1, key);
    const joined = await stage.room.begin();
    const again = await stage.start(process, saga, 1, { ...key, tx: joined.tx });
    await expect(stage.start(process, saga, 2, { ...key, tx: joined.tx })).rejects.toMatchObject({
      code: "SAGAZ_IDEMPOTENCY_CONFLICT",
    });
    await joined.commit();
    expect(again.id).toBe(first.id);
  });

  test("is looked for no longer once another has it", async () => {
    await using stage = await Stage.open();
    const saga = one("hunted");
    const { leases } = stage.storage;
    const claim = leases.claim.bind(leases);
    const looks: unknown[] = [];
    leases.claim = (wanted) => {
      if (wanted.sagaId !== undefined) looks.push(wanted);
      return claim(wanted);
    };
    const process = await stage.process(saga);
    const joined = await stage.room.begin();
    const { id: sagaId } = await stage.start(process, saga, 1, { tx: joined.tx });
    await joined.commit();
    const other = await leases.register({ workerName: "other", leaseMs: 3_600_000, definitions: [] });
    const definitions = [{ sagaName: "hunted", version: 1 }];
    const [taken] = await claim({ epoch: other.epoch, limit: 1, definitions, sagaId });
    expect(taken).toMatchObject({ sagaId });
    await stage.clock.advance(30_000);
    expect(looks).toHaveLength(1);
  });

  test("holds its key until that ends: another start is told to try again", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const process = await stage.process(saga);
    const key = { idempotencyKey: "held" };
    const joined = await stage.room.begin();
    const first = await stage.start(process, saga, 1, { ...key, tx: joined.tx });
    await expect(stage.start(process, saga, 1, key)).rejects.toMatchObject({
      code: "SAGAZ_START_IN_PROGRESS",
      retryable: true,
    });
    await joined.commit();
    expect((await stage.start(process, saga, 1, key)).id).toBe(first.id);
  });

  test("is refused on a storage that cannot join one", async () => {
    class Apart extends InMemoryStorage {
      override readonly can = { joinTransaction: false, transactionalSteps: false, participants: false };
    }
    const saga = one();
    const orchestrator = new SagaOrchestrator({ storage: new Apart(), sagas: [saga] });
    await orchestrator.start();
    const start = orchestrator.sagas.start(saga, 1, { tx: () => Promise.resolve([]) });
    await expect(start).rejects.toMatchObject({ code: "SAGAZ_CANNOT", details: { storage: "memory" } });
    await orchestrator.stop();
  });

  test("of a process that dies before the commit is found by another", async () => {
    await using stage = await Stage.open();
    const saga = one();
    const first = await stage.process(saga);
    const joined = await stage.room.begin();
    const handle = await stage.start(first, saga, 1, { tx: joined.tx });
    first.kill();
    const second = await stage.process(saga);
    await joined.commit();
    expect(await stage.drive(second.sagas.result(handle.id))).toMatchObject({ status: "completed" });
  });
});

describe("result", () => {
  test("awaits the end from any process", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = new ClassicSaga({ name: "awaited" }).addStep("a", trace.slow("a", { ms: 5_000 }));
    const worker = await stage.process(saga);
    const watcher = await stage.processWith({ sagas: [saga], sagasInFlightMax: 0 });
    const handle = await stage.start(worker, saga, null);
    expect(await stage.drive(watcher.sagas.result(handle.id))).toMatchObject({
      status: "completed",
      output: { a: "a" },
    });
  });

  test("gives up after timeoutMs, or when its signal aborts; the saga goes on", async () => {
    await using stage = await Stage.open();
    const working = gate();
    const saga = new ClassicSaga({ name: "patience" }).addStep("a", () => working.promise);
    const process = await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    await expect(stage.end(handle, { timeoutMs: 1_000 })).rejects.toMatchObject({
      code: "SAGAZ_RESULT_TIMEOUT",
      retryable: true,
    });
    const controller = new AbortController();
    const waiting = handle.result({ signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "SAGAZ_ABORTED" });
    await expect(handle.result({ signal: controller.signal })).rejects.toMatchObject({
      code: "SAGAZ_ABORTED",
    });
    working.open();
    expect(await stage.end(handle, {})).toMatchObject({ status: "completed" });
  });

  test("is told when the process that waits is stopped", async () => {
    await using stage = await Stage.open();
    const saga = new ClassicSaga({ name: "stopped" }).addStep("a", () => 1);
    const watcher = await stage.processWith({ sagas: [saga], sagasInFlightMax: 0 });
    const handle = await stage.start(watcher, saga, null);
    const waiting = handle.result();
    waiting.catch(() => {});
    await watcher.stop();
    await expect(waiting).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
  });

  test("`orParked` also comes back when the saga is parked elsewhere", async () => {
    await using stage = await Stage.open();
    const saga = build("parked-elsewhere").signal("never", { waitMs: 1_000 }).build();
    const worker = await stage.process(saga);
    const watcher = await stage.processWith({ sagas: [saga], sagasInFlightMax: 0 });
    const handle = await stage.start(worker, saga, null);
    expect(await stage.drive(watcher.sagas.result(handle.id, { orParked: true }))).toMatchObject({
      status: "parked",
    });
  });

  test("outlives the saga's leaving this process for another", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const saga = build("moves")
      .sleep("nap", { forMs: 20_000 })
      .step("a", { after: ["nap"], do: trace.note("a") })
      .build();
    const process = await stage.process(saga);
    await stage.process(saga);
    const handle = await stage.start(process, saga, null);
    expect(await stage.end(handle, {})).toMatchObject({ status: "completed" });
  });
});
