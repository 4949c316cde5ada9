import { randomUUID } from "node:crypto";
import pg from "pg";
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

/** What no inbox can do without: its rows, in one order, and which of them are new. */
const bareSql = `
  INSERT INTO noted (consumer_name, event_id, source_topic, event_type, processed_at)
    SELECT 'bench', id, $2, $3, now() FROM unnest($1::text[]) AS m (id) ORDER BY id
    ON CONFLICT DO NOTHING RETURNING event_id`;

/** Commits as many rows at a time as an inbox has messages in a batch, in a table like its own; tells how many a second. */
export async function insertBatches(url: string, forMs: number): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("CREATE TABLE IF NOT EXISTS noted (LIKE sagaz.consumer_inbox INCLUDING ALL)");
  let inserted = 0;
  const startedAt = performance.now();
  while (performance.now() - startedAt < forMs) {
    const messages = Array.from({ length: inboxBatch }, (_, n) => newMessage(inserted + n));
    await client.query("BEGIN");
    await client.query(bareSql, [messages.map(({ eventId }) => eventId), topic, messages[0]?.eventType]);
    await client.query("COMMIT");
    inserted += messages.length;
  }
  const elapsedMs = performance.now() - startedAt;
  await client.end();
  return (inserted / elapsedMs) * 1000;
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
