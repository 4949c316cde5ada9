import { readFileSync } from "node:fs";
import * as kafka from "@platformatic/kafka";
import pg from "pg";
import { Outbox, OutboxWorker, type ReceivedMessage } from "sagaz";
import { KafkaBroker } from "sagaz/kafka";
import { PostgreSQLStorage } from "sagaz/postgres";
import { expect, onTestFinished, test } from "vitest";
import { findKafkaConnect, startKafkaConnect } from "../../tools/servers/kafka-connect.ts";
import { findKafka, startKafka } from "../../tools/servers/kafka.ts";
import { startPostgres } from "../../tools/servers/postgres.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";

const file = new URL("../../deploy/debezium/outbox-connector.json", import.meta.url);
const topics = ["orders", "stock"];
const keys = ["o-1", "o-2", "größe"];
const events = 60;

/** The same events for both, each under ids of its own. */
const toEvents = (who: string) =>
  Array.from({ length: events }, (_, n) => ({
    topic: topics[n % 2] ?? "",
    type: "order.placed",
    id: `${who}-${n}`,
    key: keys[n % 3] ?? "",
    aggregateType: "order",
    aggregateId: keys[n % 3] ?? "",
    correlationId: `checkout-${n}`,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    headers: n === 7 ? { region: "eu" } : {},
    payload: { n, text: "naïve → 🎉", amount: 0.1 },
  }));

/** A message, without what is its own in each run. */
const toComparable = ({ topic, key, payload, headers }: ReceivedMessage, who: string) => {
  const { ce_id: id = "", ce_time: time = "", ...others } = headers;
  return {
    topic,
    key,
    payload: Buffer.from(payload).toString(),
    id: id.replace(`${who}-`, ""),
    isTimed: Math.abs(Date.now() - Date.parse(time)) < 600_000,
    headers: others,
  };
};

/** The statements that a section of the page tells to run. */
function stepsOf(section: string): string[] {
  const page = readFileSync(new URL("../../docs/how-to/publish-with-debezium.md", import.meta.url), "utf8");
  const text = page.split(`## ${section}`)[1]?.split("\n## ")[0] ?? "";
  const blocks = [...text.matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
  return blocks
    .join("")
    .split(";\n")
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}

async function askConnect(url: string, method: string, what: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${url}/connectors/sagaz-outbox${what}`, {
    method,
    headers: { "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`Kafka Connect answers ${answer.status}: ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

test("through Kafka Connect the same messages reach the same topics as through a relay, in order per key", async ({
  skip,
}) => {
  const found = { kafka: await findKafka({ own: true }), connect: await findKafkaConnect() };
  if ("missing" in found.kafka) return skip(found.kafka.missing);
  if ("missing" in found.connect) return skip(found.connect.missing);
  const postgres = await startPostgres({ own: true, settings: { wal_level: "logical" } });
  onTestFinished(() => postgres.stop());
  const server = await startKafka(found.kafka);
  onTestFinished(() => server.stop());

  const pool = new pg.Pool({ connectionString: postgres.url });
  pool.on("error", () => {});
  const storage = new PostgreSQLStorage({ pool });
  const options = { kafka, servers: [server.url], createTopics: { partitions: 3, replicas: 1 } };
  const broker = new KafkaBroker(options);
  const worker = new OutboxWorker({ storage, broker });
  await worker.start();
  onTestFinished(async () => {
    await worker.stop();
    await pool.end();
  });
  const received: ReceivedMessage[] = [];
  const outbox = new Outbox({ storage, source: "/shop" });
  const write = async (who: string) => {
    for (const event of toEvents(who)) await outbox.transaction(pool, (_, add) => add(event));
  };
  const ofRun = (who: string) => received.filter(({ headers }) => headers["ce_id"]?.startsWith(`${who}-`));
  const untilAll = (who: string) =>
    waitUntil(`all of ${who} have arrived`, () => ofRun(who).length >= events, { withinMs: 40_000 });

  await write("relay");
  await waitUntil("the relay has sent them", () => worker.counts.sent === events, { withinMs: 20_000 });
  const subscription = await broker.subscribe({
    group: "g",
    topics,
    unackedMax: 1_000,
    handle: (messages) => {
      received.push(...messages);
      subscriptionOf().ack(messages);
    },
  });
  const subscriptionOf = () => subscription;
  onTestFinished(() => subscription.stop());
  await untilAll("relay");

  await pool.query("create role debezium login replication password 'none'");
  const switchOver = async () => {
    for (const step of stepsOf("Switch over")) await pool.query(step);
  };
  await switchOver();
  // Connect comes later than that: the slot has it.
  await write("early");
  const connect = await startKafkaConnect(found.connect, server.url);
  onTestFinished(() => connect.stop());
  const ask = (method: string, what: string, body?: object) => askConnect(connect.url, method, what, body);
  const { config } = JSON.parse(readFileSync(file, "utf8")) as { config: Record<string, string> };
  const capture = async () => {
    await ask("PUT", "/config", {
      ...config,
      "database.hostname": "127.0.0.1",
      "database.port": `${postgres.port}`,
      "database.password": "none",
      "database.dbname": "postgres",
    });
    await waitUntil("Debezium reads", isActive, { withinMs: 40_000 }).catch((error: Error) => {
      throw new Error(`${error.message}\n${connect.log().slice(-5_000)}`);
    });
  };
  const isActive = async () =>
    ((await pool.query("select from pg_replication_slots where slot_name = 'sagaz_debezium' and active"))
      .rowCount ?? 0) > 0;
  await capture();
  await untilAll("early");
  await write("debezium");
  await untilAll("debezium").catch((error: Error) => {
    throw new Error(`${error.message}\n${connect.log().slice(-5_000)}`);
  });

  const [relayed, captured] = ["relay", "debezium"].map((who) => {
    const all = ofRun(who).map((message) => toComparable(message, who));
    return topics.flatMap((topic) =>
      keys.map((key) => all.filter((message) => message.topic === topic && message.key === key)),
    );
  });
  // Stated in the how-to: headers of one's own come as one JSON text, and what is null is there, and empty.
  const asRelayed = captured?.map((messages) =>
    messages.map(({ headers: { headers = "", ...others }, ...message }) => {
      const present = Object.entries(others).filter(([, value]) => value !== "");
      const own = headers === "" ? {} : (JSON.parse(headers) as Record<string, string>);
      return { ...message, headers: { ...Object.fromEntries(present), ...own } };
    }),
  );
  expect(asRelayed).toEqual(relayed);
  expect(worker.counts.sent).toBe(events);
  const bytes = outbox.transaction(pool, (_, add) =>
    add({ topic: "orders", type: "e", payload: new Uint8Array([1]) }),
  );
  await expect(bytes).rejects.toThrow("bytes would be published as nothing");

  // Back again, as the page says, and over once more under the same names.
  const [look = "", ...leave] = stepsOf("Back again");
  const leftOver = async () => {
    await ask("PUT", "/stop");
    await waitUntil("it has stopped", async () => !(await isActive()), { withinMs: 20_000 });
    const { offsets } = (await ask("GET", "/offsets")) as { offsets: [{ offset: { lsn: number } }] };
    const sql = look.replace("77441112", String(offsets[0].offset.lsn));
    return Number((await pool.query<{ left_over: string }>(sql)).rows[0]?.left_over);
  };
  expect(await leftOver()).toBe(0);
  await write("late");
  expect(await leftOver()).toBe(events);
  await ask("PUT", "/resume");
  await untilAll("late");
  await waitUntil(
    "all is noted",
    async () => {
      if ((await leftOver()) === 0) return true;
      await ask("PUT", "/resume");
      await waitUntil("it goes on", isActive, { withinMs: 20_000 });
      return false;
    },
    { withinMs: 40_000 },
  );
  await ask("DELETE", "/offsets");
  await ask("DELETE", "");
  for (const step of leave) await pool.query(step);
  await write("back");
  await untilAll("back");
  expect(worker.counts.sent).toBe(2 * events);
  await switchOver();
  await capture();
  await write("again");
  await untilAll("again");
  expect(worker.counts.sent).toBe(2 * events);
}, 240_000);
