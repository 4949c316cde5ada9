import { expect, test } from "vitest";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { OutboxWorker } from "./outbox-worker.ts";

/** Refuses the event "first" once, and takes everything else. */
class BrokerThatRefusesOnce extends InMemoryBroker {
  readonly taken: string[] = [];
  #hasRefused = false;

  override async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    let isStopped = false;
    return messages.map(({ topic, payload }) => {
      if (isStopped) return new SagaError("SAGAZ_BROKER_HELD_BACK");
      if (payload !== '"first"' || this.#hasRefused) return void this.taken.push(String(payload));
      this.#hasRefused = isStopped = true;
      return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: this.name, topic, message: "once" });
    });
  }
}

/** Adds events of one key. */
async function add(storage: InMemoryStorage, payloads: readonly string[]): Promise<void> {
  const { tx, commit } = storage.begin();
  const rows = payloads.map((payload) =>
    toOutboxRow(
      { topic: "t", type: "e", key: "k", payload },
      { newId: () => payload, source: "test", bytesMax: 100 },
    ),
  );
  await storage.outbox.addIn(tx, rows);
  await commit();
}

test("a key stands still as long as it cannot be noted that its first event was refused", async () => {
  const clock = new FakeClock();
  const storage = new InMemoryStorage({ clock });
  const broker = new BrokerThatRefusesOnce();
  let notes = 0;
  const { settle } = storage.outbox;
  Object.assign(storage.outbox, {
    settle: async (settlement: Parameters<typeof settle>[0]) => {
      notes += 1;
      if (notes <= 5) throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "a test cut the line" });
      return settle(settlement);
    },
  });
  await add(storage, ["first", "second"]);
  const worker = new OutboxWorker({ storage, broker, clock, chance: new SeededChance(1), log: silentLog });
  await worker.start();
  await clock.runUntil(() => broker.taken.length === 2);
  expect(broker.taken).toEqual(['"first"', '"second"']);
  const stopped = worker.stop();
  await clock.advance(1_000);
  await stopped;
});

test("the next batch is asked for before one is handed over, and none is kept once it is", async () => {
  const clock = new FakeClock();
  const storage = new InMemoryStorage({ clock });
  const broker = new InMemoryBroker();
  const order: string[] = [];
  const known = new Set<string>();
  const { take } = storage.outbox;
  const { publish } = broker;
  Object.assign(storage.outbox, {
    take: async (request: Parameters<typeof take>[0]) => {
      const inFlight = [...request.inFlight];
      for (const one of inFlight) for (const name of Object.keys(one)) known.add(name);
      for (let n = 0; n < 20; n += 1) await Promise.resolve(); // a pool and a driver take some turns until they send
      order.push("asked");
      return take.call(storage.outbox, { ...request, inFlight });
    },
  });
  Object.assign(broker, {
    publish: (messages: readonly BrokerMessage[]) => {
      order.push(`handed over ${messages.length}`);
      return publish.call(broker, messages);
    },
  });
  await add(
    storage,
    Array.from({ length: 5 }, (_, n) => `event-${n}`),
  );
  const parts = { storage, broker, clock, chance: new SeededChance(1), log: silentLog };
  const worker = new OutboxWorker({ ...parts, batchMax: 2 });
  await worker.start();
  await clock.runUntil(() => worker.counts.sent === 5);
  expect(order.slice(0, 4)).toEqual(["asked", "asked", "handed over 2", "asked"]);
  expect([...known].sort()).toEqual(["bytes", "id", "shard"]);
  const stopped = worker.stop();
  await clock.advance(1_000);
  await stopped;
});
