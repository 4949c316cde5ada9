import { randomUUID } from "node:crypto";
import { ConsumerInbox } from "sagaz";
import { quantile } from "../quantile.ts";
import { newEvent, topic } from "./events.ts";
import { inboxBatch } from "./plan.ts";
import { withStorage } from "./sagaz-relay.ts";

function newMessage(n: number) {
  const { type: eventType, key, payload } = newEvent(n);
  return { eventId: randomUUID(), sourceTopic: topic, eventType, key, payload };
}

/** Processes so many messages a second time, one after another; tells the median in milliseconds. */
export function checkDuplicates(url: string, count: number): Promise<number> {
  return withStorage(url, async ({ storage }) => {
    const inbox = new ConsumerInbox({ storage, consumerName: "bench" });
    const messages = Array.from({ length: 200 }, (_, n) => newMessage(n));
    for (const message of messages) await inbox.processIdempotent(message, async () => {});
    const times: number[] = [];
    for (let n = 0; n < count; n += 1) {
      const message = messages[n % messages.length] as (typeof messages)[number];
      const from = performance.now();
      const { isDuplicate } = await inbox.processIdempotent(message, async () => {});
      times.push(performance.now() - from);
      if (!isDuplicate) throw new Error("A message was processed twice.");
    }
    return quantile(
      times.sort((a, b) => a - b),
      0.5,
    );
  });
}

/** Processes batches of new messages one after another, and tells how many messages a second. */
export function processBatches(url: string, forMs: number): Promise<number> {
  return withStorage(url, async ({ storage }) => {
    const inbox = new ConsumerInbox({ storage, consumerName: "bench" });
    let handled = 0;
    let processed = 0;
    const startedAt = performance.now();
    while (performance.now() - startedAt < forMs) {
      const messages = Array.from({ length: inboxBatch }, (_, n) => newMessage(processed + n));
      await inbox.processBatch(messages, () => void (handled += 1));
      processed += messages.length;
    }
    const elapsedMs = performance.now() - startedAt;
    if (handled !== processed) throw new Error(`${handled} of ${processed} messages were handled.`);
    return (processed / elapsedMs) * 1000;
  });
}
