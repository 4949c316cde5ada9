import { expect, onTestFinished, test } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { HttpOutlet } from "../../brokers/http/index.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { SagaError } from "../../core/errors.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";

/** Refuses what goes to one topic. */
class Choosy extends InMemoryBroker {
  override async publish(messages: Parameters<InMemoryBroker["publish"]>[0]) {
    const refusal = new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "choosy", topic: "bad", message: "no" });
    return messages.map(({ topic }) => (topic === "bad" ? refusal : undefined));
  }
}

test.each([
  ["a URL", "https://nobody.example.com/hooks"],
  ["a topic", "bad"],
])(
  "a policy that throws for %s: its key stands still, the rest goes on, and somebody is told",
  async (_, topic) => {
    const storage = new InMemoryStorage();
    const told: string[] = [];
    const worker = new OutboxWorker({
      storage,
      broker: new HttpOutlet({ destinations: {}, broker: new Choosy() }),
      onPoison: () => {
        throw new Error("a bug of its own");
      },
      attemptsMax: 1,
      log: { ...silentLog, error: (message) => void told.push(message) },
    });
    await worker.start();
    onTestFinished(() => worker.stop());
    const { tx, commit } = storage.begin();
    const event = { type: "order.placed", payload: 1 };
    await new Outbox({ storage }).add(tx, [
      { ...event, topic },
      { ...event, topic: "good" },
    ]);
    await commit();
    await waitUntil("the other one is sent, and this one was refused", () => {
      const { sent, refused } = worker.counts;
      return sent === 1 && refused >= 1;
    });
    expect(worker.counts.dead).toBe(0);
    expect((await storage.outbox.backlog()).pending).toBe(1);
    expect(told).toContain("sagaz: onPoison threw; the key stands still");
  },
);
