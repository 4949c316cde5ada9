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
  const { tx, commit } = storage.begin();
  const rows = ["first", "second"].map((payload) =>
    toOutboxRow(
      { topic: "t", type: "e", key: "k", payload },
      { newId: () => payload, source: "test", bytesMax: 100 },
    ),
  );
  await storage.outbox.addIn(tx, rows);
  await commit();
  const worker = new OutboxWorker({ storage, broker, clock, chance: new SeededChance(1), log: silentLog });
  await worker.start();
  await clock.runUntil(() => broker.taken.length === 2);
  expect(broker.taken).toEqual(['"first"', '"second"']);
  const stopped = worker.stop();
  await clock.advance(1_000);
  await stopped;
});
