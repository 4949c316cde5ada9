import { describe, expect, onTestFinished, test } from "vitest";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { saga as build } from "../../core/definition/builder.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { SagaOrchestrator } from "../orchestrator.ts";
import { OptimisticPublisher } from "./optimistic-publisher.ts";
import { OutboxWorker } from "./outbox-worker.ts";

const heldBack = new SagaError("SAGAZ_BROKER_HELD_BACK");

/** A publisher and a relay on one storage, each with a broker of its own that tells what it was given. */
class Town {
  readonly clock = new FakeClock();
  readonly storage = new InMemoryStorage({ clock: this.clock });
  readonly broker = new InMemoryBroker();
  /** `who key/text`, in order. */
  readonly taken: string[] = [];
  /** What the publisher's broker says; undefined takes it. */
  mood: (text: string) => SagaError | undefined = () => undefined;
  readonly publisher = new OptimisticPublisher({
    storage: this.storage,
    broker: this.#listening("publisher"),
    clock: this.clock,
    log: silentLog,
  });
  #events = 0;

  #listening(who: string): InMemoryBroker {
    const broker = new InMemoryBroker({ beside: this.broker });
    broker.publish = async (messages: readonly BrokerMessage[]) => {
      await Promise.resolve();
      return messages.map(({ key, payload }) => {
        const text = String(JSON.parse(String(payload)));
        const answer = who === "publisher" ? this.mood(text) : undefined;
        if (!answer) this.taken.push(`${who} ${key}/${text}`);
        return answer;
      });
    };
    return broker;
  }

  async started(): Promise<this> {
    onTestFinished(() => this.drive(this.publisher.stop()));
    await this.publisher.start();
    return this;
  }

  async relay(): Promise<OutboxWorker> {
    const relay = new OutboxWorker({
      storage: this.storage,
      broker: this.#listening("relay"),
      clock: this.clock,
      chance: new SeededChance(1),
      log: silentLog,
    });
    onTestFinished(() => this.drive(relay.stop()));
    await this.drive(relay.start());
    return relay;
  }

  /** Writes events in one transaction, held; answers how to offer them. */
  async write(names: readonly string[], holdMs = this.publisher.holdMs): Promise<() => void> {
    const defaults = { newId: () => `id-${this.#events++}`, source: "town", bytesMax: 1_000 };
    const rows = names.map((name) => {
      const [key = "", payload] = name.split("/");
      return toOutboxRow({ topic: "t", type: "e", key, payload }, defaults);
    });
    const { tx, commit } = this.storage.begin();
    const added = await this.storage.outbox.addIn(tx, rows, holdMs);
    await commit();
    return () => this.publisher.offer(rows, added);
  }

  async drive<T>(promise: Promise<T>): Promise<T> {
    const state = { isSettled: false };
    const settled = promise.finally(() => (state.isSettled = true));
    settled.catch(() => {});
    while (!state.isSettled) await this.clock.advance(10);
    return settled;
  }

  async pending(): Promise<number> {
    return (await this.storage.outbox.backlog()).pending;
  }
}

describe("an optimistic publisher", () => {
  test("sends at once what has committed, in order, and leaves nothing to the relay", async () => {
    const town = await new Town().started();
    await town.relay();
    await town.clock.advance(5_000);
    (await town.write(["a/1", "b/2", "a/3"]))();
    (await town.write(["a/4"]))();
    await town.clock.advance(1);
    expect(town.taken).toEqual(["publisher a/1", "publisher b/2", "publisher a/3", "publisher a/4"]);
    expect(await town.pending()).toBe(0);
    await town.clock.advance(10_000);
    expect(town.taken).toHaveLength(4);
    expect(town.publisher.counts).toEqual({ sent: 4, released: 0 });
  });

  test("leaves to the relays what would fill its memory, until it has sent what it has", async () => {
    const town = await new Town().started();
    const defaults = { newId: () => "id", source: "town", bytesMax: 2 << 20 };
    const large = toOutboxRow({ topic: "t", type: "e", key: "k", payload: "x".repeat(1 << 20) }, defaults);
    for (let id = 1; id <= 64; id++) {
      expect(town.publisher.holdMs).toBe(2_000);
      town.publisher.offer([large], [{ id, createdAt: 0, isFree: true }]);
    }
    expect(town.publisher.holdMs).toBe(0);
    await town.clock.advance(1_000);
    expect(town.publisher.counts.sent).toBe(64);
    expect(town.publisher.holdMs).toBe(2_000);
  });

  test("that dies after the commit costs two seconds, and no event", async () => {
    const town = await new Town().started();
    await town.relay();
    await town.clock.advance(5_000);
    await town.write(["a/1"]);
    await town.write(["a/2"], 0);
    await town.write(["b/3"], 0);
    await town.clock.advance(1_900);
    expect(town.taken).toEqual(["relay b/3"]);
    await town.clock.advance(500);
    expect(town.taken).toEqual(["relay b/3", "relay a/1", "relay a/2"]);
  });

  test("leaves to the relay what waits behind an earlier event of its key", async () => {
    const town = await new Town().started();
    await town.write(["a/1"], 0);
    const offer = await town.write(["a/2", "b/3", "a/4"]);
    offer();
    await town.clock.advance(1);
    expect(town.taken).toEqual(["publisher b/3"]);
    expect(town.publisher.counts).toEqual({ sent: 1, released: 2 });
    await town.relay();
    await town.clock.advance(500);
    expect(town.taken).toEqual(["publisher b/3", "relay a/1", "relay a/2", "relay a/4"]);
  });

  test("asks for nothing that was told with the write: what waits before it", async () => {
    const town = await new Town().started();
    const asked: number[] = [];
    const { outbox } = town.storage;
    const { behindOthers } = outbox;
    Object.assign(outbox, {
      behindOthers: (events: readonly { id: number }[]) => {
        asked.push(...events.map(({ id }) => id));
        return behindOthers(events as never);
      },
    });
    const offers = [await town.write(["a/1", "b/2", "a/3"]), await town.write(["c/4", "a/5"])];
    for (const offer of offers) offer();
    await town.clock.advance(1);
    // It was sent here, but that is not noted yet when the next of its key is written.
    expect(asked).toEqual([5]);
    const sent = ["a/1", "b/2", "a/3", "c/4", "a/5"].map((event) => `publisher ${event}`);
    expect(town.taken).toEqual(sent);
    expect(town.publisher.counts).toEqual({ sent: 5, released: 0 });
  });

  test("sends in the order of the writes what is offered in another one", async () => {
    const town = await new Town().started();
    const offers = [await town.write(["a/0"]), await town.write(["a/1"]), await town.write(["a/2"])];
    for (const n of [0, 2, 1]) offers[n]?.();
    await town.clock.advance(1);
    expect(town.taken).toEqual(["publisher a/0", "publisher a/1", "publisher a/2"]);
  });

  test("leaves to the relay what comes too late", async () => {
    const town = await new Town().started();
    let answer = () => {};
    const isAnswered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { outbox } = town.storage;
    const { behindOthers } = outbox;
    Object.assign(outbox, { behindOthers: (events: never) => isAnswered.then(() => behindOthers(events)) });
    const offers = [await town.write(["a/1"]), await town.write(["a/2"])];
    for (const offer of offers) offer();
    await town.clock.advance(1_001);
    expect(town.taken).toEqual(["publisher a/1"]);
    answer();
    await town.clock.advance(1);
    expect(town.taken).toHaveLength(1);
    expect(await town.pending()).toBe(1);
    await town.relay();
    await town.clock.advance(500);
    expect(town.taken).toEqual(["publisher a/1", "relay a/2"]);
  });

  test("leaves what the broker refuses to the relay, with all that follows it in its key", async () => {
    const town = await new Town().started();
    const refused = new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "memory", topic: "t", message: "no" });
    town.mood = (text) => (text === "bad" ? refused : text === "2" ? heldBack : undefined);
    (await town.write(["a/bad", "a/2", "b/3"]))();
    await town.clock.advance(1);
    expect(town.publisher.counts).toEqual({ sent: 1, released: 2 });
    expect(town.publisher.holdMs).toBe(2_000);
  });

  test("leaves to the relay what follows a refused event, however many were written together", async () => {
    const town = await new Town().started();
    const names = Array.from({ length: 1_100 }, (_, n) => `a/${n}`);
    const refused = new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "memory", topic: "t", message: "no" });
    town.mood = (text) =>
      text === "4" ? refused : Number(text) < 1_000 && Number(text) > 4 ? heldBack : undefined;
    (await town.write(names))();
    await town.clock.advance(1);
    expect(town.taken).toEqual(["a/0", "a/1", "a/2", "a/3"].map((event) => `publisher ${event}`));
    expect(town.publisher.counts).toEqual({ sent: 4, released: 1_096 });
  });

  test("steps back while the broker is away, and comes back by itself", async () => {
    const town = await new Town().started();
    const away = new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: "memory", message: "away" });
    town.mood = () => away;
    (await town.write(["a/1"]))();
    await town.clock.advance(1);
    expect(town.publisher.holdMs).toBe(0);
    town.mood = () => undefined;
    (await town.write(["b/2"], 2_000))();
    await town.clock.advance(1);
    expect(town.taken).toEqual([]);
    await town.relay();
    await town.clock.advance(5_000);
    expect([...town.taken].sort()).toEqual(["relay a/1", "relay b/2"]);
    expect(town.publisher.holdMs).toBe(2_000);
    (await town.write(["a/3"]))();
    await town.clock.advance(1);
    expect(town.taken.at(-1)).toBe("publisher a/3");
  });

  test("holds nothing before its start and after its stop, and leaves no timer behind", async () => {
    const town = new Town();
    expect(town.publisher.holdMs).toBe(0);
    await town.publisher.start();
    await town.publisher.start();
    expect(town.publisher.holdMs).toBe(2_000);
    const offer = await town.write(["a/1"]);
    offer();
    await town.drive(Promise.all([town.publisher.stop(), town.publisher.stop()]));
    expect(town.taken).toEqual(["publisher a/1"]);
    expect(town.publisher.holdMs).toBe(0);
    expect(town.clock.timersWaiting).toBe(0);
    await new Town().publisher.stop();
  });

  test("sends what a step publishes as soon as its result is recorded", async () => {
    const town = await new Town().started();
    const saga = build("order")
      .step("place", { do: (ctx) => ctx.publish({ topic: "t", type: "e", payload: "placed" }) })
      .build();
    const { clock, storage, publisher } = town;
    const orchestrator = new SagaOrchestrator({ storage, sagas: [saga], clock, log: silentLog, publisher });
    onTestFinished(() => town.drive(orchestrator.stop()));
    await town.drive(orchestrator.start());
    const handle = await town.drive(orchestrator.sagas.start(saga, undefined));
    await town.drive(handle.result());
    await town.clock.advance(1);
    expect(town.taken).toEqual([`publisher ${handle.id}/placed`]);
    expect(await town.pending()).toBe(0);
  });
});
