import { describe, expect, test } from "vitest";
import { Stage, Trace, joinsTransactions } from "../../../../tests/engine/stage.ts";
import type { Process } from "../../../../tests/engine/stage.ts";
import { action, Saga, saga, SagaError } from "../index.ts";
import { ClassicSaga } from "./classic-saga.ts";
import type { StepContext } from "../core/definition/context.ts";

/** Notes how many of each kind run at a time. */
class Crowd {
  readonly most = new Map<string, number>();
  readonly #now = new Map<string, number>();

  async during(kind: string, work: () => Promise<unknown>): Promise<void> {
    const now = (this.#now.get(kind) ?? 0) + 1;
    this.#now.set(kind, now);
    this.most.set(kind, Math.max(now, this.most.get(kind) ?? 0));
    await work();
    this.#now.set(kind, (this.#now.get(kind) ?? 0) - 1);
  }
}

/** A saga whose one step takes a second and notes how many run beside it. */
function busy(stage: Stage, crowd: Crowd, options: { readonly name: string; readonly inFlightMax?: number }) {
  const trace = new Trace(stage);
  return new ClassicSaga<string>(options).addStep("work", (ctx) =>
    crowd.during(ctx.input, () => trace.wait(1_000)),
  );
}

const kinds = (kind: string, count: number) => Array.from({ length: count }, () => kind);

describe("inFlightMax of a definition", () => {
  test("reads the same in a class, a ClassicSaga and the builder", async () => {
    class ByClass extends Saga<string> {
      static sagaName = "by-class";
      static inFlightMax = 2;
      @action("work")
      work(ctx: StepContext<string>) {
        return ctx.input;
      }
    }
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const trace = new Trace(stage);
    const classic = busy(stage, crowd, { name: "by-classic", inFlightMax: 2 });
    const built = saga("by-builder", { inFlightMax: 2 })
      .step("work", { do: () => crowd.during("built", () => trace.wait(1_000)) })
      .build();
    expect(built.inFlightMax).toBe(2);
    const process = await stage.process(ByClass, classic, built);
    const handles = await stage.drive(
      Promise.all([
        ...kinds("classic", 5).map((kind) => process.sagas.start(classic, kind)),
        ...kinds("built", 5).map((kind) => process.sagas.start(built, kind)),
        ...kinds("class", 5).map((kind) => process.sagas.start(ByClass, kind)),
      ]),
    );
    expect(process.orchestrator.sagasInFlight).toBeLessThanOrEqual(6);
    for (const handle of handles) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(Object.fromEntries(crowd.most)).toEqual({ classic: 2, built: 2 });
  });

  test("keeps a full one's backlog from standing in the way of others", async () => {
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const narrow = busy(stage, crowd, { name: "narrow", inFlightMax: 1 });
    const wide = busy(stage, crowd, { name: "wide" });
    const starter = await stage.processWith({ sagas: [narrow, wide], sagasInFlightMax: 0 });
    for (const kind of kinds("narrow", 20)) await stage.start(starter, narrow, kind);
    const behind = await stage.start(starter, wide, "wide");
    await stage.processWith({ sagas: [narrow, wide], sagasInFlightMax: 2 });
    const before = stage.clock.now();
    expect(await stage.end(behind)).toMatchObject({ status: "completed" });
    expect(stage.clock.now() - before).toBeLessThan(10_000);
    expect(crowd.most.get("narrow")).toBe(1);
  });

  test("is a policy of each version: another limit does not change the graph", async () => {
    await using stage = await Stage.open();
    const [one, other] = [1, 2].map((inFlightMax) =>
      new ClassicSaga({ name: "tuned", inFlightMax }).addStep("a", () => inFlightMax),
    );
    await stage.process(one!);
    const second = await stage.process(other!);
    expect(await stage.run(second, other!, null)).toMatchObject({ status: "completed" });
  });

  test("counts starts with a key from when they are on their way", async () => {
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const narrow = busy(stage, crowd, { name: "keyed", inFlightMax: 2 });
    const process = await stage.process(narrow);
    const start = (n: number) => process.sagas.start(narrow, "keyed", { idempotencyKey: `k${n % 6}` });
    const handles = await stage.drive(Promise.all(Array.from({ length: 12 }, (_, n) => start(n))));
    for (const handle of handles) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(crowd.most.get("keyed")).toBe(2);
    // All places are free again.
    await stage.drive(Promise.all([start(6), process.sagas.start(narrow, "more"), start(7)]));
    expect(process.orchestrator.sagasInFlight).toBe(1);
  });

  test.for([0, 1.5, -1, Number.NaN, Number.POSITIVE_INFINITY, "3"])(
    "is a whole number from 1: not %s",
    (bad) => {
      const written = new ClassicSaga({ name: "odd", inFlightMax: bad as number }).addStep("a", () => 1);
      return expect(written.execute(null)).rejects.toMatchObject({
        code: "SAGAZ_INVALID_OPTION",
        details: { option: "inFlightMax" },
      });
    },
  );
});

/** How often a process asks the storage for work. */
function countClaims(stage: Stage): { count: number } {
  const claims = { count: 0 };
  const { leases } = stage.storage;
  const claim = leases.claim.bind(leases);
  leases.claim = (wanted) => {
    claims.count++;
    return claim(wanted);
  };
  return claims;
}

// Where the storage can take part in no transaction there is nothing to tell of.
const testJoined = joinsTransactions ? test : () => {};

describe("sagasPerTenantMax", () => {
  async function startAll(process: Process, written: ClassicSaga<string>, tenants: readonly string[]) {
    return Promise.all(
      tenants.map((tenantId) =>
        process.sagas.start(written, tenantId, tenantId === "none" ? {} : { tenantId }),
      ),
    );
  }

  test("bounds each tenant in a process; sagas without one are not bounded", async () => {
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const written = busy(stage, crowd, { name: "tenants" });
    const process = await stage.processWith({ sagas: [written], sagasPerTenantMax: 2 });
    const all = [...kinds("a", 7), ...kinds("none", 7), ...kinds("b", 7)];
    const handles = await stage.drive(startAll(process, written, all));
    for (const handle of handles) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(Object.fromEntries(crowd.most)).toEqual({ a: 2, b: 2, none: 7 });
  });

  test("lets others pass a full tenant's backlog, which goes on as it has room", async () => {
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const written = busy(stage, crowd, { name: "passing" });
    const starter = await stage.processWith({ sagas: [written], sagasInFlightMax: 0 });
    const backlog = await stage.drive(startAll(starter, written, kinds("big", 300)));
    const behind = await stage.drive(startAll(starter, written, ["small", "none", "small"]));
    await stage.processWith({ sagas: [written], sagasInFlightMax: 10, sagasPerTenantMax: 4 });
    const before = stage.clock.now();
    for (const handle of behind) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(stage.clock.now() - before).toBeLessThan(10_000);
    for (const handle of backlog) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(crowd.most.get("big")).toBe(4);
    // A place that is free is taken by the next at once: 75 rounds of a second, and not of a heartbeat.
    expect(stage.clock.now() - before).toBeLessThan(90_000);
  });

  test("asks for work once a heartbeat while all of it is of full tenants", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const written = new ClassicSaga<string>({ name: "quiet" }).addStep(
      "work",
      () => trace.wait(600_000),
      undefined,
      { timeoutMs: 3_600_000 },
    );
    const claims = countClaims(stage);
    const process = await stage.processWith({ sagas: [written], sagasPerTenantMax: 2, leaseMs: 6_000 });
    await stage.drive(startAll(process, written, kinds("big", 20)));
    await stage.clock.advance(20_000);
    claims.count = 0;
    await stage.clock.advance(200_000);
    expect(claims.count).toBeGreaterThan(90);
    expect(claims.count).toBeLessThanOrEqual(101);
  });

  test("does not ask whether a saga fits that this process owns already", async () => {
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const written = busy(stage, crowd, { name: "reloaded" });
    const process = await stage.processWith({ sagas: [written], sagasPerTenantMax: 1 });
    const handles = await stage.drive(startAll(process, written, kinds("a", 3)));
    const { journal } = stage.storage;
    const append = journal.append.bind(journal);
    journal.append = (batch) => {
      const isMeant = batch.entries.some(({ events }) => events.some(({ type }) => type === "step_done"));
      if (!isMeant) return append(batch);
      // Refused once: its saga leaves memory, the next one takes its place, and then it is loaded anew.
      journal.append = append;
      return Promise.reject(new SagaError("SAGAZ_STORAGE_REFUSED", { message: "a test says no" }));
    };
    for (const handle of handles) expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(crowd.most.get("a")).toBe(2);
  });

  testJoined("a start in somebody's transaction waits for its tenant's turn", async () => {
    await using stage = await Stage.open();
    const crowd = new Crowd();
    const written = busy(stage, crowd, { name: "hunted" });
    const process = await stage.processWith({ sagas: [written], sagasPerTenantMax: 1 });
    const first = await stage.drive(process.sagas.start(written, "a", { tenantId: "a" }));
    const joined = await stage.room.begin();
    const second = await stage.start(process, written, "a", { tenantId: "a", tx: joined.tx });
    await joined.commit();
    for (const handle of [first, second])
      expect(await stage.end(handle)).toMatchObject({ status: "completed" });
    expect(crowd.most.get("a")).toBe(1);
  });
});
