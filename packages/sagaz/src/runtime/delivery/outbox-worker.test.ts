import { describe, expect, onTestFinished, test } from "vitest";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage, MessageBroker } from "../../ports/broker.ts";
import { silentLog } from "../../ports/log.ts";
import type { SagaStorage } from "../../ports/storage.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";
import type { OutboxWorkerOptions } from "./outbox-worker.ts";

/** What a broker says to a message; undefined takes it. */
type Mood = (message: BrokerMessage, text: string) => "refused" | "away" | "lost answer" | undefined;

/** A broker that keeps the port's promises, and has moods: of a key it takes a prefix of a call. */
class MoodyBroker extends InMemoryBroker {
  mood: Mood = () => undefined;
  /** What it took, in order: `key/text`. */
  readonly taken: string[] = [];
  calls = 0;

  override async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    this.calls += 1;
    const stopped = new Set<string>();
    await Promise.resolve();
    return messages.map((message) => {
      const { topic, key, payload } = message;
      const text = String(JSON.parse(String(payload)));
      if (stopped.has(key)) return new SagaError("SAGAZ_BROKER_HELD_BACK");
      const mood = this.mood(message, text);
      if (mood === undefined || mood === "lost answer") this.taken.push(`${key}/${text}`);
      if (mood === undefined) return undefined;
      stopped.add(key);
      return mood === "refused"
        ? new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: this.name, topic, message: "no" })
        : new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: this.name, message: mood });
    });
  }
}

/** A storage, a broker and as many relays as a test likes, on one clock that moves when told. */
class Town {
  readonly clock = new FakeClock();
  readonly storage = new InMemoryStorage({ clock: this.clock });
  readonly broker = new MoodyBroker();
  #relays = 0;
  #events = 0;

  worker(options: Partial<OutboxWorkerOptions> = {}): OutboxWorker {
    this.#relays += 1;
    const worker = new OutboxWorker({
      storage: this.storage,
      broker: this.broker,
      clock: this.clock,
      chance: new SeededChance(this.#relays),
      log: silentLog,
      ...options,
    });
    onTestFinished(() => this.drive(worker.stop()));
    return worker;
  }

  /** Moves time until a promise has settled. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    const state = { isSettled: false };
    const settled = promise.finally(() => (state.isSettled = true));
    settled.catch(() => {});
    while (!state.isSettled) await this.clock.advance(10);
    return settled;
  }

  async started(options: Partial<OutboxWorkerOptions> = {}): Promise<OutboxWorker> {
    const worker = this.worker(options);
    await this.drive(worker.start());
    return worker;
  }

  /** Writes events in one transaction: `key/text`. */
  async write(...names: readonly string[]): Promise<void> {
    const { tx, commit } = this.storage.begin();
    await this.add(tx, names);
    await commit();
  }

  async add(tx: Parameters<SagaStorage["outbox"]["addIn"]>[0], names: readonly string[]): Promise<void> {
    const defaults = { newId: () => `id-${this.#events++}`, source: "town", bytesMax: 1_000 };
    const rows = names.map((name) => {
      const [key = "", payload] = name.split("/");
      return toOutboxRow({ topic: "t", type: "e", key, payload }, defaults);
    });
    await this.storage.outbox.addIn(tx, rows);
  }

  async until(what: () => boolean | Promise<boolean>, forMs = 600_000): Promise<void> {
    const patience = this.clock.monotonic() + forMs;
    while (!(await what())) {
      if (this.clock.monotonic() > patience) throw new Error(`not within ${forMs} ms: ${String(what)}`);
      await this.clock.advance(10);
    }
  }

  async untilEmpty(): Promise<void> {
    await this.until(async () => (await this.storage.outbox.backlog()).pending === 0);
  }
}

const named = (key: string, count: number) => Array.from({ length: count }, (_, n) => `${key}/${n}`);
const firsts = (taken: readonly string[], key: string) =>
  [...new Set(taken)].filter((name) => name.startsWith(`${key}/`));

describe("an outbox worker", () => {
  test("publishes what was written before and after its start, with its envelope", async () => {
    const town = new Town();
    const outbox = new Outbox({ storage: town.storage, source: "/orders", clock: town.clock });
    const { tx, commit } = town.storage.begin();
    await outbox.add(tx, {
      topic: "orders",
      type: "order.placed",
      key: "4711",
      payload: "early",
      id: "my-id",
    });
    await commit();
    const messages: BrokerMessage[] = [];
    town.broker.mood = (message) => void messages.push(message);
    const worker = await town.started();
    await town.until(() => messages.length === 1);
    expect(messages[0]).toMatchObject({
      topic: "orders",
      key: "4711",
      headers: {
        ce_id: "my-id",
        ce_type: "order.placed",
        ce_source: "/orders",
        "content-type": "application/json",
      },
      payload: '"early"',
    });
    await town.write("a/1", "a/2");
    await town.until(() => messages.length === 3);
    expect(worker.counts).toEqual({ sent: 3, refused: 0, dead: 0, outages: 0 });
  });

  test("reads ahead and notes behind, and leaves nothing in many batches", async () => {
    const town = new Town();
    const names = Array.from({ length: 1_037 }, (_, n) => `key-${n % 13}/${n}`);
    await town.write(...names);
    await town.started({ batchMax: 10 });
    await town.untilEmpty();
    expect(town.broker.taken).toHaveLength(names.length);
    for (let key = 0; key < 13; key++)
      expect(firsts(town.broker.taken, `key-${key}`)).toEqual(firsts(names, `key-${key}`));
  });

  test("sees an event soon although its transaction commits after the hint", async () => {
    const town = new Town();
    await town.started();
    await town.clock.advance(60_000);
    const { tx, commit } = town.storage.begin();
    await town.add(tx, ["a/late"]);
    await town.clock.advance(50);
    await commit();
    const committedAt = town.clock.monotonic();
    await town.until(() => town.broker.taken.length === 1);
    expect(town.clock.monotonic() - committedAt).toBeLessThan(1_100);
  });

  test("asks seldom while there is nothing", async () => {
    const town = new Town();
    let takes = 0;
    const { outbox } = town.storage;
    const take = outbox.take.bind(outbox);
    Object.assign(outbox, { take: (...args: Parameters<typeof take>) => ((takes += 1), take(...args)) });
    await town.started();
    await town.clock.advance(10_000);
    takes = 0;
    await town.clock.advance(60_000);
    expect(takes).toBeGreaterThan(50);
    expect(takes).toBeLessThan(65);
  });
});

describe("an outage", () => {
  test("is waited for: nothing is lost, counted against an event, or out of order", async () => {
    const town = new Town();
    town.broker.mood = () => "away";
    await town.write(...named("a", 30), ...named("b", 30));
    const worker = await town.started({ batchMax: 7 });
    await town.until(() => worker.counts.outages > 20);
    expect(await worker.health()).toMatchObject({
      isUp: false,
      detail: expect.stringContaining("away") as string,
    });
    town.broker.mood = () => undefined;
    await town.untilEmpty();
    expect(firsts(town.broker.taken, "a")).toEqual(named("a", 30));
    expect(firsts(town.broker.taken, "b")).toEqual(named("b", 30));
    expect(worker.counts).toMatchObject({ sent: 60, refused: 0, dead: 0 });
    await town.until(async () => (await worker.health()).isUp);
  });

  test("whose answers are lost sends again what may have arrived, and keeps the order of first deliveries", async () => {
    const town = new Town();
    const chance = new SeededChance(7);
    const names = Array.from({ length: 300 }, (_, n) => `key-${n % 5}/${n}`);
    town.broker.mood = () =>
      chance.next() < 0.3 ? (chance.next() < 0.5 ? "lost answer" : "away") : undefined;
    await town.write(...names);
    await town.started({ batchMax: 20 });
    await town.untilEmpty();
    expect(new Set(town.broker.taken)).toEqual(new Set(names));
    for (let key = 0; key < 5; key++)
      expect(firsts(town.broker.taken, `key-${key}`)).toEqual(firsts(names, `key-${key}`));
    expect((await town.storage.outbox.backlog()).dead).toBe(0);
  });

  test("of a broker that throws, or is not there at the start, is one too", async () => {
    const town = new Town();
    town.broker.goAway();
    await town.write("a/1");
    await town.started();
    await town.clock.advance(30_000);
    town.broker.comeBack();
    await town.untilEmpty();
    const publish = town.broker.publish.bind(town.broker);
    let thrown = 0;
    town.broker.publish = (messages) =>
      thrown++ < 3 ? Promise.reject(new Error("a bug")) : publish(messages);
    await town.write("a/2");
    await town.untilEmpty();
    expect(town.broker.taken).toEqual(["a/1", "a/2"]);
  });

  test("of the storage is waited for as well, and what was sent is noted later, not sent again", async () => {
    const town = new Town();
    const { outbox } = town.storage;
    const { settle, take } = { ...outbox };
    let isAway = false;
    const through =
      <Args extends unknown[], Answer>(call: (...args: Args) => Promise<Answer>) =>
      async (...args: Args): Promise<Answer> => {
        if (isAway) throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" });
        return call(...args);
      };
    Object.assign(outbox, { settle: through(settle), take: through(take) });
    town.broker.mood = () => void (isAway = true);
    await town.write("a/1", "a/2");
    await town.started();
    await town.until(() => town.broker.taken.length === 2);
    await town.clock.advance(20_000);
    town.broker.mood = () => undefined;
    isAway = false;
    await town.untilEmpty();
    await town.write("a/3");
    await town.untilEmpty();
    expect(town.broker.taken).toEqual(["a/1", "a/2", "a/3"]);
  });
});

describe("a refusal", () => {
  test("holds up its key and no other, and ends in the dead letters", async () => {
    const town = new Town();
    const tries: number[] = [];
    town.broker.mood = (_, text) => {
      if (text !== "poison") return undefined;
      tries.push(town.clock.monotonic());
      return "refused";
    };
    await town.write("a/1", "a/poison", "a/2", "b/1", "b/2");
    const worker = await town.started({ attemptsMax: 4 });
    await town.until(() => tries.length === 1);
    await town.until(() => town.broker.taken.length === 3);
    expect([...town.broker.taken].sort()).toEqual(["a/1", "b/1", "b/2"]);
    await town.untilEmpty();
    expect(town.broker.taken.at(-1)).toBe("a/2");
    expect(tries).toHaveLength(4);
    const gaps = tries.slice(1).map((at, n) => at - (tries[n] ?? 0));
    for (const [n, gap] of gaps.entries()) {
      expect(gap).toBeGreaterThanOrEqual(250 * 2 ** n);
      expect(gap).toBeLessThan(500 * 2 ** n + 600);
    }
    expect(worker.counts).toEqual({ sent: 4, refused: 4, dead: 1, outages: 0 });
    expect((await town.storage.outbox.backlog()).dead).toBe(1);
  });

  test("of a topic whose keys are to stand still is tried for ever", async () => {
    const town = new Town();
    town.broker.mood = (_, text) => (text === "poison" ? "refused" : undefined);
    await town.write("a/poison", "a/2", "b/1");
    const worker = await town.started({ attemptsMax: 2, onPoison: () => "block-key" });
    await town.clock.advance(600_000);
    expect(town.broker.taken).toEqual(["b/1"]);
    expect(worker.counts.refused).toBeGreaterThan(8);
    town.broker.mood = () => undefined;
    await town.untilEmpty();
    expect(town.broker.taken).toEqual(["b/1", "a/poison", "a/2"]);
  });

  test("of many keys leaves room for others, which need not wait until all of them were tried again", async () => {
    const town = new Town();
    town.broker.mood = (_, text) => (text === "poison" ? "refused" : undefined);
    await town.write(...Array.from({ length: 300 }, (_, n) => `k${n}/poison`));
    const worker = await town.started({ batchMax: 10, onPoison: () => "block-key" });
    await town.until(() => worker.counts.refused >= 300);
    town.broker.mood = () => "away";
    await town.clock.advance(60_000); // now all of them are due
    const since = town.broker.calls;
    let callsUntil = 0;
    town.broker.mood = (_, text) => {
      if (text === "poison") return "refused";
      callsUntil = town.broker.calls - since;
      return undefined;
    };
    await town.write("other/1");
    await town.until(() => callsUntil > 0);
    expect(callsUntil).toBeLessThan(10); // of the 30 that all of them take
  });

  test("of many keys is remembered by whoever takes over, and looked at only when its time has come", async () => {
    const town = new Town();
    town.broker.mood = (_, text) => (text === "poison" ? "refused" : undefined);
    await town.write(...Array.from({ length: 30 }, (_, n) => `k${n}/poison`));
    const first = await town.started({ onPoison: () => "block-key" });
    await town.until(() => first.counts.refused >= 30 * 8); // a minute, less some chance, to the next try
    await town.drive(first.stop());
    let read = 0;
    const { take } = town.storage.outbox;
    Object.assign(town.storage.outbox, {
      take: async (request: Parameters<typeof take>[0]) => {
        const taken = await take(request);
        read += taken.events.length;
        return taken;
      },
    });
    const second = await town.started({ onPoison: () => "block-key" });
    await town.clock.advance(5_000);
    // 30 at the start, and those whose time came.
    expect(read).toBeLessThan(30 + 2 * second.counts.refused + 1);
  });

  test("is remembered by whoever takes over", async () => {
    const town = new Town();
    town.broker.mood = (_, text) => (text === "poison" ? "refused" : undefined);
    await town.write("a/poison", "a/2");
    const first = await town.started({ attemptsMax: 3 });
    await town.until(() => first.counts.refused === 2);
    await town.drive(first.stop());
    const second = await town.started({ attemptsMax: 3 });
    await town.clock.advance(100);
    expect(town.broker.taken).toEqual([]);
    await town.untilEmpty();
    expect(second.counts).toMatchObject({ sent: 1, refused: 1, dead: 1 });
  });
});

describe("several workers", () => {
  test("share the keys, and take over from one another, in order and without losing any", async () => {
    const town = new Town();
    const chance = new SeededChance(3);
    town.broker.mood = () => (chance.next() < 0.1 ? "lost answer" : undefined);
    const keys = Array.from({ length: 40 }, (_, n) => `key-${n}`);
    const written: string[] = [];
    const write = async (count: number) => {
      const names = Array.from({ length: count }, () => {
        const key = keys[Math.floor(chance.next() * keys.length)] ?? "";
        return `${key}/${written.length + Math.floor(chance.next() * 1e9)}`;
      });
      written.push(...names);
      await town.write(...names);
    };
    const workers = [await town.started({ batchMax: 10 })];
    for (let round = 0; round < 30; round++) {
      await write(20);
      await town.clock.advance(500);
      if (round % 5 === 1) workers.push(await town.started({ batchMax: 10 }));
      if (round % 7 === 6) await town.drive(workers.shift()?.stop() ?? Promise.resolve());
    }
    await town.untilEmpty();
    expect(new Set(town.broker.taken)).toEqual(new Set(written));
    for (const key of keys) expect(firsts(town.broker.taken, key)).toEqual(firsts(written, key));
    const active = workers.filter((worker) => worker.counts.sent > 0);
    expect(active.length).toBeGreaterThan(1);
  });

  test("leave out one that has never reached the broker", async () => {
    const town = new Town();
    class UnreachableBroker extends InMemoryBroker {
      override start = () => Promise.reject(new Error("wrong password"));
    }
    await town.started({ broker: new UnreachableBroker() });
    await town.started();
    await town.write(...Array.from({ length: 200 }, (_, n) => `k${n}/1`));
    await town.untilEmpty();
    expect(town.broker.taken).toHaveLength(200);
  });

  test("go on without one that is fenced, which drops what it has and comes back", async () => {
    const town = new Town();
    const first = await town.started();
    const [firstEpoch] = [1];
    await town.write("a/1");
    await town.untilEmpty();
    await town.storage.leases.retire(firstEpoch);
    await town.write("a/2");
    await town.until(() => town.broker.taken.includes("a/2"));
    expect(first.counts.sent).toBe(2);
  });
});

describe("a stop", () => {
  test("lets the batch at the broker end, gives the shards back, and is safe twice and before the start", async () => {
    const town = new Town();
    await town.drive(town.worker().stop());
    const worker = town.worker();
    await town.drive(worker.start());
    await town.drive(Promise.all([worker.stop(), worker.stop()]));
    await expect(worker.start()).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
    expect(await worker.health()).toMatchObject({ isUp: false });
    await town.write("a/1");
    await town.started();
    await town.untilEmpty();
  });

  test("leaves no timer behind, which would keep the process alive", async () => {
    const town = new Town();
    const worker = await town.started();
    await town.write("a/1");
    await town.untilEmpty();
    await town.drive(worker.stop());
    expect(town.clock.timersWaiting).toBe(0);
  });

  test("does not wait for ever for a broker that never answers", async () => {
    const town = new Town();
    town.broker.publish = () => new Promise(() => {});
    await town.write("a/1");
    const worker = await town.started();
    await town.clock.advance(100);
    const before = town.clock.monotonic();
    await town.drive(worker.stop());
    expect(town.clock.monotonic() - before).toBeLessThan(15_000);
  });
});

test.each<[option: string, options: object]>([
  ["batchMax", { batchMax: 0 }],
  ["batchMax", { batchMax: 10_001 }],
  ["leaseMs", { leaseMs: 499 }],
  ["attemptsMax", { attemptsMax: 1.5 }],
])("a bad %s is refused: %j", (option, options) => {
  const broker: MessageBroker = new InMemoryBroker();
  const make = () => new OutboxWorker({ storage: new InMemoryStorage(), broker, ...options });
  expect(make).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }) as Error);
  expect(make).toThrow(option);
});
