import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fail } from "../core/decide/outcome.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { silentLog } from "../ports/log.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { configure, setDefaultStorage, shutdown } from "./configure.ts";
import { Saga } from "./saga.ts";
import { action, compensate } from "../core/definition/decorators.ts";
import type { StepContext } from "../core/definition/context.ts";

const opened: (string | undefined)[] = [];

beforeEach(() => {
  opened.length = 0;
  vi.stubEnv("SAGAZ_STORAGE_URL", undefined);
  vi.stubEnv("NODE_ENV", "test");
  setDefaultStorage((url) => {
    opened.push(url);
    return Promise.resolve(new InMemoryStorage());
  });
});

afterEach(async () => {
  await shutdown();
  vi.unstubAllEnvs();
});

class Order extends Saga<{ id: string; declined?: boolean }> {
  static readonly sagaName = "order";
  undone = 0;

  @action("reserve")
  reserve(ctx: StepContext<{ id: string }>) {
    return `r-${ctx.input.id}`;
  }
  @compensate("reserve")
  release() {
    this.undone++;
  }
  @action("charge", { dependsOn: ["reserve"] })
  charge(ctx: StepContext<{ declined?: boolean }>) {
    if (ctx.input.declined) throw fail("declined");
    return "paid";
  }
}

const classic = (name = "classic") => new ClassicSaga<number>({ name }).addStep("a", (ctx) => ctx.input + 1);

describe("run and execute", () => {
  test("work with nothing configured, in memory", async () => {
    expect(await new Order().run({ id: "1" })).toMatchObject({
      status: "completed",
      output: { reserve: "r-1", charge: "paid" },
    });
    expect(await classic().execute(1)).toMatchObject({ status: "completed", output: { a: 2 } });
    expect(opened).toEqual([undefined]);
  });

  test("a saga that was undone is a result, not an error", async () => {
    const order = new Order();
    expect(await order.run({ id: "1", declined: true })).toMatchObject({
      status: "compensated",
      failure: { step: "charge" },
    });
    expect(order.undone).toBe(1);
  });

  test("a saga that is parked is a result too", async () => {
    const saga = new ClassicSaga({ name: "parks" }).addStep("pay", () => new Map(), undefined, {
      pivot: true,
    });
    expect(await saga.execute(null)).toMatchObject({ status: "parked", parked: { reason: "pivot_unknown" } });
  });

  test("keep one worker for each definition, and one storage for all", async () => {
    const saga = classic();
    await Promise.all([saga.execute(1), saga.execute(2), classic("other").execute(3)]);
    expect(opened).toHaveLength(1);
  });

  test("are durable with SAGAZ_STORAGE_URL", async () => {
    vi.stubEnv("SAGAZ_STORAGE_URL", "memory://here");
    vi.stubEnv("NODE_ENV", "production");
    await classic().execute(1);
    expect(opened).toEqual(["memory://here"]);
  });

  test("are durable after configure({ storage })", async () => {
    const storage = new InMemoryStorage();
    configure({ storage, log: silentLog });
    const { sagaId } = await classic().execute(1, { idempotencyKey: "k" });
    expect(opened).toEqual([]);
    expect(await storage.queries.find(sagaId)).toMatchObject({ status: "completed" });
    expect((await classic().execute(1, { idempotencyKey: "k" })).sagaId).toBe(sagaId);
  });

  test("refuse in production when nothing is configured", async () => {
    vi.stubEnv("NODE_ENV", "production");
    await expect(classic().execute(1)).rejects.toMatchObject({ code: "SAGAZ_NO_STORAGE" });
    expect(opened).toEqual([]);
    vi.stubEnv("NODE_ENV", "test");
    expect(await classic().execute(1)).toMatchObject({ status: "completed" });
  });

  test("give up after timeoutMs; the saga goes on", async () => {
    let open = () => {};
    const saga = new ClassicSaga({ name: "slow" }).addStep(
      "a",
      () => new Promise<void>((resolve) => (open = resolve)),
    );
    await expect(saga.execute(null, { timeoutMs: 20, idempotencyKey: "k" })).rejects.toMatchObject({
      code: "SAGAZ_RESULT_TIMEOUT",
    });
    open();
    expect(await saga.execute(null, { idempotencyKey: "k" })).toMatchObject({ status: "completed" });
  });

  test("give up when their signal aborts", async () => {
    const controller = new AbortController();
    const saga = new ClassicSaga({ name: "aborted", settleMs: 10 }).addStep(
      "a",
      () => {
        controller.abort();
        return new Promise(() => {});
      },
      undefined,
      { timeoutMs: 100, retry: { maxAttempts: 1 } },
    );
    await expect(saga.execute(null, { signal: controller.signal })).rejects.toMatchObject({
      code: "SAGAZ_ABORTED",
    });
  });

  test("a storage that could not be opened is opened anew the next time", async () => {
    let broken = true;
    setDefaultStorage(() =>
      broken ? Promise.reject(new Error("no server")) : Promise.resolve(new InMemoryStorage()),
    );
    await expect(classic().execute(1)).rejects.toThrow("no server");
    broken = false;
    expect(await classic().execute(1)).toMatchObject({ status: "completed" });
  });

  test("shutdown is safe twice, and the next run begins anew", async () => {
    await classic().execute(1);
    await shutdown();
    await shutdown();
    expect(await classic().execute(1)).toMatchObject({ status: "completed" });
    expect(opened).toHaveLength(2);
  });

  test("a storage that could not be opened does not take away the one configured meanwhile", async () => {
    let refuse: (error: Error) => void = () => {};
    setDefaultStorage(() => new Promise((_, reject) => (refuse = reject)));
    const first = classic().execute(1);
    const storage = new InMemoryStorage();
    configure({ storage });
    expect(await classic().execute(1)).toMatchObject({ status: "completed" });
    refuse(new Error("no server"));
    await expect(first).rejects.toThrow("no server");
    expect(await classic("second").execute(1)).toMatchObject({ status: "completed" });
    expect((await storage.queries.list({ limit: 10 })).sagas).toHaveLength(2);
  });
});
