import { expect, onTestFinished, test } from "vitest";
import { InMemoryBroker } from "../brokers/memory/index.ts";
import { silentLog } from "../ports/log.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { InboxWorker } from "./delivery/inbox-worker.ts";
import { OutboxWorker } from "./delivery/outbox-worker.ts";

const HOUR_MS = 3_600_000;

function open() {
  const clock = new FakeClock();
  const storage = new InMemoryStorage({ clock });
  const { upkeep } = storage;
  const maintain = upkeep.maintain.bind(upkeep);
  const counted = { calls: 0 };
  upkeep.maintain = async () => {
    counted.calls += 1;
    await maintain();
  };
  return { counted, around: { storage, broker: new InMemoryBroker(), clock, log: silentLog } };
}

const kinds = {
  "a relay": (around: ReturnType<typeof open>["around"]) => new OutboxWorker(around),
  "a consumer": (around: ReturnType<typeof open>["around"]) =>
    new InboxWorker({ ...around, consumerName: "billing", topics: ["orders"], handle: () => {} }),
};

test.each(Object.entries(kinds))(
  "%s maintains the database once an hour: it may be alone there",
  async (_, make) => {
    const { counted, around } = open();
    const worker = make(around);
    onTestFinished(async () => {
      const stopping = worker.stop();
      await around.clock.advance(60_000);
      await stopping;
    });
    await worker.start();
    await around.clock.advance(2.5 * HOUR_MS);
    expect(counted.calls).toBe(2);
  },
);
