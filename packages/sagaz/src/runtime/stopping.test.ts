import { describe, expect, test } from "vitest";
import { gate } from "../../../../tests/engine/stage.ts";
import { isSagaError, SagaError } from "../core/errors.ts";
import { silentLog } from "../ports/log.ts";
import type { SagaStorage } from "../ports/storage.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { SagaOrchestrator } from "./orchestrator.ts";

/** A storage whose answers to one call are on their way until the gate opens; `asked` resolves when there is one. */
function slowTo(storage: SagaStorage, part: "leases" | "journal", call: string) {
  const asked = gate();
  const answers = gate();
  const slow: unknown = new Proxy(storage[part], {
    get(target, name) {
      const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
      if (name !== call) return method.bind(target);
      return async (...args: unknown[]) => {
        const answer = await method.apply(target, args);
        if (Array.isArray(answer) && answer.length === 0) return answer;
        asked.open();
        await answers.promise;
        return answer;
      };
    },
  });
  const line = new Proxy(storage, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name === part) return slow;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return { line, asked: asked.promise, open: () => answers.open() };
}

/** Lets everything happen that was waiting for nothing but its turn. */
const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe("a worker that has stopped", () => {
  test("begins nothing of a claim whose answer comes too late: what it claimed was handed back", async () => {
    const storage = new InMemoryStorage();
    const calls: string[] = [];
    const saga = new ClassicSaga({ name: "late-claim" }).addStep("a", () => void calls.push("a"));
    const { line, asked, open } = slowTo(storage, "leases", "claim");
    const options = { sagas: [saga], log: silentLog };
    const stopping = new SagaOrchestrator({ ...options, storage: line });
    await using starter = new SagaOrchestrator({ ...options, storage, sagasInFlightMax: 0 });
    await starter.start();
    const { id } = await starter.sagas.start(saga, null);
    await stopping.start();
    await asked;
    await stopping.stop();
    expect(await storage.queries.find(id)).toMatchObject({ owner: null, status: "pending" });
    open();
    await settled();
    expect(calls).toEqual([]);
  });

  test("begins nothing of a start whose answer comes too late, and still answers it", async () => {
    const storage = new InMemoryStorage();
    const calls: string[] = [];
    const saga = new ClassicSaga({ name: "late-start" }).addStep("a", () => void calls.push("a"));
    const { line, asked, open } = slowTo(storage, "journal", "startKeyed");
    const stopping = new SagaOrchestrator({ storage: line, sagas: [saga], log: silentLog });
    await stopping.start();
    const starting = stopping.sagas.start(saga, null, { idempotencyKey: "k" });
    await asked;
    await stopping.stop();
    open();
    const { id, isNew } = await starting;
    await settled();
    expect([isNew, calls]).toEqual([true, []]);
    await using other = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
    await other.start();
    expect((await other.sagas.result(id)).status).toBe("completed");
    expect(calls).toEqual(["a"]);
  });

  test("waits for no saga's end: result() says so at once", async () => {
    const storage = new InMemoryStorage();
    const saga = new ClassicSaga({ name: "asked-late" }).addStep("a", () => 1);
    const orchestrator = new SagaOrchestrator({
      storage,
      sagas: [saga],
      log: silentLog,
      sagasInFlightMax: 0,
    });
    await orchestrator.start();
    const handle = await orchestrator.sagas.start(saga, null);
    await orchestrator.stop();
    await expect(handle.result()).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
  });
});

describe("a start in doubt when the worker stops", () => {
  test("is not called refused: nobody knows whether it is on record", async () => {
    const storage = new InMemoryStorage();
    const saga = new ClassicSaga({ name: "unsure" }).addStep("a", () => 1);
    const { append } = storage.journal;
    const appended = gate();
    storage.journal.append = async (batch) => {
      await append(batch);
      appended.open();
      throw new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "lost" });
    };
    const away = () => Promise.reject(new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" }));
    storage.journal.tails = away;
    const options = { storage, sagas: [saga], log: silentLog, leaseMs: 500, stopMs: 0 };
    const orchestrator = new SagaOrchestrator(options);
    await orchestrator.start();
    const started = expect(orchestrator.sagas.start(saga, null)).rejects.toMatchObject({
      code: "SAGAZ_COMMIT_IN_DOUBT",
    });
    await appended.promise;
    await orchestrator.stop();
    await started;
  });
});

describe("a write that is refused while the worker stops", () => {
  const refuseOnce = (storage: InMemoryStorage) => {
    const { append } = storage.journal;
    storage.journal.append = async (batch) => {
      const types = batch.entries.flatMap(({ events }) => events.map(({ type }) => type));
      if (!types.includes("step_done")) return append(batch);
      storage.journal.append = append;
      throw new SagaError("SAGAZ_STORAGE_REFUSED", { message: "a test says no" });
    };
  };

  test("leaves its attempt in doubt: the next owner asks before it runs the step again", async () => {
    const storage = new InMemoryStorage();
    const [began, working] = [gate(), gate()];
    const calls: string[] = [];
    const saga = new ClassicSaga({ name: "refused-late" }).addStep(
      "a",
      async () => {
        calls.push("a");
        began.open();
        await working.promise;
      },
      undefined,
      { verify: () => (calls.push("verify"), { outcome: "done", result: undefined }) },
    );
    const options = { storage, sagas: [saga], log: silentLog, leaseMs: 500 };
    const first = new SagaOrchestrator(options);
    await first.start();
    const { id } = await first.sagas.start(saga, null);
    await began.promise;
    refuseOnce(storage);
    const stopped = first.stop();
    working.open();
    await stopped;
    await using other = new SagaOrchestrator(options);
    await other.start();
    expect((await other.sagas.result(id)).status).toBe("completed");
    expect(calls).toEqual(["a", "verify"]);
  });

  test("counts no longer once the saga has left in good order", async () => {
    const storage = new InMemoryStorage();
    const saga = new ClassicSaga({ name: "refused-once" }).addStep("a", () => 1);
    const orchestrator = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
    await orchestrator.start();
    refuseOnce(storage);
    expect((await (await orchestrator.sagas.start(saga, null)).result()).status).toBe("completed");
    let retired = 0;
    const { retire } = storage.leases;
    storage.leases.retire = (epoch) => retire(epoch).finally(() => retired++);
    await orchestrator.stop();
    expect(retired).toBe(1);
  });
});

describe("two orchestrators on one storage object", () => {
  test("do not take it away from each other: the last one to stop stops it", async () => {
    const storage = new InMemoryStorage();
    let stops = 0;
    storage.stop = () => Promise.resolve(void stops++);
    const saga = new ClassicSaga({ name: "sharing" }).addStep("a", () => 1);
    const options = { storage, sagas: [saga], log: silentLog };
    const [first, second] = [new SagaOrchestrator(options), new SagaOrchestrator(options)];
    await Promise.all([first.start(), second.start()]);
    await first.stop();
    expect(stops).toBe(0);
    expect((await (await second.sagas.start(saga, null)).result()).status).toBe("completed");
    await second.stop();
    expect(stops).toBe(1);
  });
});

describe("start()", () => {
  test("can be called again after it failed, and not after stop()", async () => {
    const storage = new InMemoryStorage();
    let fails = true;
    storage.start = () => (fails ? Promise.reject(new Error("away")) : Promise.resolve());
    const saga = new ClassicSaga({ name: "again" }).addStep("a", () => 1);
    const orchestrator = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
    await expect(orchestrator.start()).rejects.toThrow("away");
    fails = false;
    await orchestrator.start();
    expect((await (await orchestrator.sagas.start(saga, null)).result()).status).toBe("completed");
    await orchestrator.stop();
    const late = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
    await late.stop();
    await expect(late.start()).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
  });
});

describe("a start with a key that is in doubt", () => {
  test("is tried until it is sure: its own write may hold the key", async () => {
    const storage = new InMemoryStorage();
    const saga = new ClassicSaga({ name: "held" }).addStep("a", () => 1);
    const { startKeyed } = storage.journal;
    const answers = [
      () => Promise.reject(new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "lost" })),
      () => Promise.resolve([{ kind: "busy" } as const]),
    ];
    storage.journal.startKeyed = (...call) => answers.shift()?.() ?? startKeyed(...call);
    await using orchestrator = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
    await orchestrator.start();
    const handle = await orchestrator.sagas.start(saga, null, { idempotencyKey: "k" });
    expect([handle.isNew, (await handle.result()).status]).toEqual([true, "completed"]);
  });

  test("is not run here when it was recorded under an epoch that is over", async () => {
    const storage = new InMemoryStorage();
    const calls: string[] = [];
    const began = gate();
    const saga = (name: string) =>
      new ClassicSaga({ name: "over", settleMs: 1 }).addStep("a", () => {
        calls.push(name);
        began.open();
        return new Promise(() => {});
      });
    const options = { storage, log: silentLog, leaseMs: 500, stopMs: 0 };
    const here = saga("here");
    const first = new SagaOrchestrator({ ...options, sagas: [here] });
    await using other = new SagaOrchestrator({ ...options, sagas: [saga("elsewhere")], leaseMs: 60_000 });
    await Promise.all([first.start(), other.start()]);
    const { startKeyed } = storage.journal;
    const { register } = storage.leases;
    const registered = gate();
    storage.leases.register = (worker) => register(worker).finally(() => registered.open());
    storage.journal.startKeyed = async (epoch, starts) => {
      storage.journal.startKeyed = startKeyed;
      await startKeyed(epoch, starts);
      await storage.leases.retire(epoch);
      await registered.promise;
      throw new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "lost" });
    };
    await first.sagas.start(here, null, { idempotencyKey: "k" });
    await began.promise;
    await settled();
    expect(calls).toEqual(["elsewhere"]);
    await first.stop();
  });
});

describe("a storage that does not answer", () => {
  test(
    "makes starts with a key wait, but not without bound: SAGAZ_TOO_BUSY",
    { timeout: 30_000 },
    async () => {
      const storage = new InMemoryStorage();
      const saga = new ClassicSaga({ name: "crowded" }).addStep("a", () => 1);
      const options = { storage, sagas: [saga], log: silentLog, stopMs: 0, sagasInFlightMax: 0 };
      await using orchestrator = new SagaOrchestrator(options);
      await orchestrator.start();
      storage.journal.startKeyed = () => new Promise(() => {});
      const refused: unknown[] = [];
      for (let i = 0; i < 60_000 && refused.length === 0; i++) {
        orchestrator.sagas.start(saga, null, { idempotencyKey: "k" }).catch((error: unknown) => {
          refused.push(isSagaError(error) ? error.code : error);
        });
        if (i % 1_000 === 0) await settled();
      }
      expect(refused[0]).toBe("SAGAZ_TOO_BUSY");
    },
  );
});
