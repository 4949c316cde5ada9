import { findKafka, startKafka } from "../../tools/servers/kafka.ts";
import type { Bench } from "./bench.ts";
import { toDebeziumCapture, toOwnCapture, type CapturePlace } from "./capture.ts";
import { measureLatency } from "./capture-latency.ts";
import { measureThroughput } from "./capture-throughput.ts";
import { Debezium } from "./debezium.ts";
import { emptyTopic } from "./kafka-client.ts";
import { killReader } from "./kill-reader.ts";
import { startLoggedPostgres } from "./logged-database.ts";
import { TopicEnd } from "./topic-end.ts";

const measures = { debezium: measureThroughput, "cdc-latency": measureLatency, "cdc-kill": killReader };

/**
 * Reading the log of one PostgreSQL and publishing to one Kafka: ours beside Debezium, and what becomes of a crash. Answers
 * what is not to be had.
 */
export async function measureCaptures(bench: Bench): Promise<string[]> {
  const wanted = Object.entries(measures).filter(([part]) => bench.plan.parts.includes(part));
  if (wanted.length === 0) return [];
  const opened: { stop(): Promise<void> }[] = [];
  try {
    bench.progress("starting Kafka and Kafka Connect");
    const { place, missing } = await open(bench, opened);
    if (place) for (const [, measure] of wanted) await measure(bench, place);
    return missing;
  } finally {
    for (const server of opened) await server.stop();
  }
}

async function open(
  { sagaz }: Bench,
  opened: { stop(): Promise<void> }[],
): Promise<{ readonly place?: CapturePlace; readonly missing: string[] }> {
  const { host } = sagaz;
  const found = await findKafka({ own: true });
  if ("missing" in found)
    return { missing: [`Reading the log to kafka was not measured: ${found.missing}.`] };
  // Debezium's heartbeats go to a topic that nobody has made.
  const server = await startKafka(found, { optimize: true, autoCreateTopics: true });
  opened.unshift(server);
  const kafka = `kafka://${server.url}`;
  await emptyTopic(kafka);
  const topicEnd = new TopicEnd(kafka);
  opened.unshift({ stop: () => topicEnd.close() });
  const postgres = await startLoggedPostgres();
  opened.unshift(postgres);
  const template = await postgres.createTemplate("capture", (url) => host.call("install", url));
  const ours = { postgres, template, kafka, topicEnd, captures: [toOwnCapture(host, kafka)] };
  const debezium = await Debezium.launch(kafka);
  if ("missing" in debezium)
    return { place: ours, missing: [`Debezium was not measured: ${debezium.missing}.`] };
  opened.unshift(debezium);
  const captures = [...ours.captures, toDebeziumCapture(debezium, { host, topicEnd })];
  return { place: { ...ours, captures }, missing: [] };
}
