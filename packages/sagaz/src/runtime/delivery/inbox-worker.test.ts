import { describe, expect, onTestFinished, test, vi } from "vitest";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { SagaError } from "../../core/errors.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { OutboxWorker } from "./outbox-worker.ts";
import { InboxWorker } from "./inbox-worker.ts";
import type { InboxWorkerOptions } from "./inbox-worker.ts";

/** A broker, a storage, and inbox workers on a clock that moves when told. */
class Town {
  readonly clock = new FakeClock();
  readonly storage = new InMemoryStorage({ clock: this.clock });
  readonly broker = new InMemoryBroker();
  /** What handlers were called with, in order. */
  readonly handled: string[] = [];

  worker(options: Partial<InboxWorkerOptions> = {}): InboxWorker {
    const worker = new InboxWorker({
      storage: this.storage,
      broker: new InMemoryBroker({ beside: this.broker }),
      consumerName: "billing",
      topics: ["t"],
      handle: (payload) => void this.handled.push(String(payload)),
      clock: this.clock,
      chance: new SeededChance(1),
      log: silentLog,
      ...options,
    });
    onTestFinished(() => this.drive(worker.stop()));
    return worker;
  }

  async started(options: Partial<InboxWorkerOptions> = {}): Promise<InboxWorker> {
    const worker = this.worker(options);
    await this.drive(worker.start());
    await this.until(async () => (await worker.health()).isUp);
    return worker;
  }

  /** Sends events, `key/text`, each with its name as its id. */
  async send(...names: readonly string[]): Promise<void> {
    await this.broker.start();
    const messages = names.map((name) => {
      const [key = "", text] = name.split("/");
      return { topic: "t", key, headers: { ce_id: name, ce_type: "e" }, payload: JSON.stringify(text) };
    });
    await this.broker.publish(messages);
  }

  async drive<T>(promise: Promise<T>): Promise<T> {
    const state = { isSettled: false };
    const settled = promise.finally(() => (state.isSettled = true));
    settled.catch(() => {});
    while (!state.isSettled) await this.clock.advance(10);
    return settled;
  }

  async until(what: () => boolean | Promise<boolean>, forMs = 600_000): Promise<void> {
    const patience = this.clock.monotonic() + forMs;
    while (!(await what())) {
      if (this.clock.monotonic() > patience) throw new Error(`not within ${forMs} ms: ${String(what)}`);
      await this.clock.advance(10);
    }
  }
}

describe("an inbox worker", () => {
  test("whose storage fails with an error that is none of ours says so, and goes on when that is over", async () => {
    const town = new Town();
    expect(await town.worker().health()).toEqual({ isUp: false, detail: "it is not started" });
    const worker = await town.started();
    const process = vi
      .spyOn(town.storage.inbox, "process")
      .mockRejectedValue(new TypeError("a driver's bug"));
    onTestFinished(() => process.mockRestore());
    await town.send("a/1");
    await town.until(async () => !(await worker.health()).isUp);
    expect((await worker.health()).detail).toContain("a driver's bug");
    process.mockRestore();
    await town.until(async () => (await worker.health()).isUp);
    expect(town.handled).toEqual(["1"]);
  });

  test("handles what comes, once, also when it comes again", async () => {
    const town = new Town();
    const worker = await town.started();
    await town.send("a/1", "b/2", "a/1", "a/3");
    await town.until(() => worker.counts.processed === 3);
    await town.send("a/3", "a/4");
    await town.until(() => worker.counts.processed === 4);
    expect(town.handled).toEqual(["1", "2", "3", "4"]);
    expect(worker.counts).toEqual({ processed: 4, duplicates: 2, failed: 0, dead: 0 });
  });

  test("handles events by type, and passes over those of others", async () => {
    const town = new Town();
    const worker = await town.started({
      handle: { e: (payload) => void town.handled.push(`e ${String(payload)}`), toString: () => "never" },
    });
    await town.send("a/1");
    const headers = { ce_id: "other", ce_type: "toString2" };
    await town.broker.publish([{ topic: "t", key: "a", headers, payload: "{}" }]);
    await town.until(() => worker.counts.processed === 2);
    expect(town.handled).toEqual(["e 1"]);
  });

  test("hands over JSON as a value, and all else as bytes", async () => {
    const town = new Town();
    const seen: unknown[] = [];
    const worker = await town.started({ handle: (payload) => void seen.push(payload) });
    const send = (id: string, type: string, payload: string) =>
      town.broker.publish([
        { topic: "t", key: "k", headers: { ce_id: id, ce_type: "e", "content-type": type }, payload },
      ]);
    await town.broker.start();
    await send("1", "application/json", '{"a":1}');
    await send("2", "application/cloudevents+json; charset=utf-8", "[2]");
    await send("3", "text/plain", "[3]");
    await send("4", "application/json", "no JSON");
    await town.until(() => worker.counts.processed === 4);
    expect(seen).toEqual([{ a: 1 }, [2], Buffer.from("[3]"), Buffer.from("no JSON")]);
  });
});

describe("a message that fails", () => {
  test("is tried again while its key stands still and others go on, and ends in the dead letters", async () => {
    const town = new Town();
    const tries: number[] = [];
    const worker = await town.started({
      attemptsMax: 4,
      handle: (payload) => {
        if (payload === "poison") {
          tries.push(town.clock.monotonic());
          throw new Error("poison");
        }
        town.handled.push(String(payload));
      },
    });
    await town.send("a/poison", "a/2", "b/3");
    await town.until(() => town.handled.length === 1);
    expect(town.handled).toEqual(["3"]);
    await town.until(() => town.handled.length === 2);
    expect(town.handled).toEqual(["3", "2"]);
    expect(tries).toHaveLength(4);
    for (const [n, at] of tries.slice(1).entries())
      expect(at - (tries[n] ?? 0)).toBeGreaterThanOrEqual(100 * 2 ** n);
    expect(worker.counts).toMatchObject({ processed: 2, dead: 1 });
    expect((await town.storage.outbox.backlog()).dead).toBe(1);
  });

  test("without an id is a dead letter at once, and so is each other such one", async () => {
    const town = new Town();
    const worker = await town.started();
    await town.broker.start();
    const foreign = { topic: "t", key: "k", headers: {}, payload: "{}" };
    await town.broker.publish([foreign, foreign]);
    await town.send("k/1");
    await town.until(() => worker.counts.dead === 2 && worker.counts.processed === 1);
    expect((await town.storage.outbox.backlog()).dead).toBe(2);
    expect(worker.counts.failed).toBe(2);
  });

  test("with an id that is too long is a dead letter under a shorter one, the same each time", async () => {
    const town = new Town();
    const worker = await town.started();
    const [one, other] = ["1", "2"].map((end) => `k/${"x".repeat(5_000)}${end}`);
    await town.send(one ?? "", other ?? "", one ?? "", "k/1");
    await town.until(() => worker.counts.dead === 3 && worker.counts.processed === 1);
    const { letters } = await town.storage.deadLetters.list({ limit: 10 });
    expect(new Set(letters.map(({ event }) => event.eventId)).size).toBe(2);
    for (const { event } of letters) expect(event.eventId.length).toBeLessThanOrEqual(200);
  });

  test("later succeeds, before what follows it in its key", async () => {
    const town = new Town();
    let left = 3;
    await town.started({
      handle: (payload) => {
        if (payload === "1" && left-- > 0) throw new Error("not yet");
        town.handled.push(String(payload));
      },
    });
    await town.send("a/1", "a/2", "a/3");
    await town.until(() => town.handled.length === 3);
    expect(town.handled).toEqual(["1", "2", "3"]);
  });
});

test("a dead letter that is redriven is for its consumer alone", async () => {
  const town = new Town();
  let isMended = false;
  const handle = (name: string) => (payload: unknown) => {
    if (name === "billing" && !isMended) throw new Error("not yet");
    town.handled.push(`${name} ${String(payload)}`);
  };
  const billing = await town.started({ attemptsMax: 1, handle: handle("billing") });
  await town.send("a/1");
  await town.until(() => billing.counts.dead === 1);
  const late = await town.started({ consumerName: "late", handle: handle("late") });
  await town.until(() => late.counts.processed === 1);
  isMended = true;
  const [letter] = (await town.storage.deadLetters.list({ limit: 1 })).letters;
  await town.storage.deadLetters.redrive({ ids: [letter?.id ?? 0], actor: "ann" });
  const relay = new OutboxWorker({
    storage: town.storage,
    broker: town.broker,
    clock: town.clock,
    log: silentLog,
  });
  onTestFinished(() => town.drive(relay.stop()));
  const latest = await town.started({ consumerName: "latest", handle: handle("latest") });
  await town.until(() => latest.counts.processed === 1);
  await town.drive(relay.start());
  await town.until(() => billing.counts.processed === 1 && late.counts.duplicates === 1);
  await town.until(() => latest.counts.duplicates === 1);
  expect(town.handled).toEqual(["late 1", "latest 1", "billing 1"]);
});

test("an event that is a dead letter of two consumers is redriven for one, and later for the other", async () => {
  const town = new Town();
  let isMended = false;
  const handle = (name: string) => () => {
    if (!isMended) throw new Error("not yet");
    town.handled.push(name);
  };
  const billing = await town.started({ attemptsMax: 1, handle: handle("billing") });
  const audit = await town.started({ attemptsMax: 1, consumerName: "audit", handle: handle("audit") });
  const relay = new OutboxWorker({
    storage: town.storage,
    broker: town.broker,
    clock: town.clock,
    log: silentLog,
  });
  onTestFinished(() => town.drive(relay.stop()));
  await town.drive(relay.start());
  await town.send("a/1");
  await town.until(() => billing.counts.dead === 1 && audit.counts.dead === 1);
  isMended = true;
  const { letters } = await town.storage.deadLetters.list({ limit: 2 });
  for (const [n, { id }] of letters.entries()) {
    await town.storage.deadLetters.redrive({ ids: [id], actor: "ann" });
    await town.until(() => billing.counts.duplicates + audit.counts.duplicates === n + 1);
  }
  await town.until(() => town.handled.length === 2);
  expect(town.handled.toSorted()).toEqual(["audit", "billing"]);
});

test("what no event can carry on is left out of what a handler publishes", async () => {
  const town = new Town();
  const worker = await town.started({
    handle: (_, { publish }) => publish({ topic: "u", type: "e", payload: null }),
  });
  await town.broker.start();
  const headers = { ce_id: "1", ce_type: "e", "correlation-id": "x".repeat(501), traceparent: "a\nb" };
  await town.broker.publish([{ topic: "t", key: "k", headers, payload: "{}" }]);
  await town.until(() => worker.counts.processed === 1);
  const { epoch } = await town.storage.leases.register({ workerName: "w", leaseMs: 5_000, definitions: [] });
  const { shards } = await town.storage.outbox.balance(epoch);
  const { events } = await town.storage.outbox.take({
    epoch,
    shards,
    limit: 9,
    bytesMax: 1_000_000,
    inFlight: [],
    held: [],
    again: undefined,
  });
  expect(events).toMatchObject([{ correlationId: "1", traceparent: null }]);
});

describe("an outage", () => {
  test("of the storage is waited for, and counted against no message", async () => {
    const town = new Town();
    const { inbox } = town.storage;
    const process = inbox.process.bind(inbox);
    let isAway = true;
    Object.assign(inbox, {
      process: (...args: Parameters<typeof process>) =>
        isAway
          ? Promise.reject(new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" }))
          : process(...args),
    });
    const worker = await town.started({ attemptsMax: 1 });
    await town.send("a/1", "a/2");
    await town.until(async () => !(await worker.health()).isUp);
    await town.clock.advance(60_000);
    isAway = false;
    await town.until(() => town.handled.length === 2);
    expect(worker.counts).toEqual({ processed: 2, duplicates: 0, failed: 0, dead: 0 });
    expect(await worker.health()).toEqual({ isUp: true });
  });

  test("of the broker, or its absence at the start, is waited for", async () => {
    const town = new Town();
    town.broker.goAway();
    const worker = town.worker();
    await town.drive(worker.start());
    expect(await worker.health()).toMatchObject({ isUp: false });
    await town.clock.advance(30_000);
    town.broker.comeBack();
    await town.send("a/1");
    await town.until(() => town.handled.length === 1);
    town.broker.goAway();
    await town.clock.advance(1_000);
    town.broker.comeBack();
    await town.send("a/2");
    await town.until(() => town.handled.length === 2);
  });
});

describe("a stop", () => {
  test("leaves what is not done to the next one, which does it once", async () => {
    const town = new Town();
    await town.drive(town.worker().stop());
    const never = await town.started({ handle: () => new Promise(() => {}), handlerTimeoutMs: 1_000_000 });
    await town.send("a/1", "a/2");
    await town.clock.advance(100);
    const before = town.clock.monotonic();
    await town.drive(Promise.all([never.stop(), never.stop()]));
    expect(town.clock.monotonic() - before).toBeLessThan(15_000);
  });

  test("before a broker was there ends the waiting for it", async () => {
    const town = new Town();
    town.broker.goAway();
    const worker = town.worker();
    await town.drive(worker.start());
    await town.drive(worker.stop());
    town.broker.comeBack();
    await town.send("a/1");
    await town.clock.advance(60_000);
    expect(town.handled).toEqual([]);
    await town.started();
    await town.until(() => town.handled.length === 1);
  });

  test("of one worker leaves a broker that others use", async () => {
    const town = new Town();
    const options = { broker: town.broker };
    const one = await town.started(options);
    const two = await town.started({ ...options, consumerName: "shipping" });
    await town.drive(one.stop());
    await town.send("a/1");
    await town.until(() => two.counts.processed === 1);
  });
});

test.each<[option: string, options: object]>([
  ["topics", { topics: [] }],
  ["batchMax", { batchMax: 0 }],
  ["unackedMax", { unackedMax: 1.5 }],
  ["attemptsMax", { attemptsMax: -1 }],
  ["consumerName", { consumerName: "" }],
])("a bad %s is refused: %j", (option, options) => {
  const make = () => new Town().worker(options);
  expect(make).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }) as Error);
  expect(make).toThrow(option);
});
