import { expect, inject, test } from "vitest";
import { askServer } from "./ask-server.ts";
import { testLauncher } from "./broker-rules.ts";
import { findKafka, kafkaUrlVariable, runKafkaTool, startKafka } from "./kafka.ts";
import type { TestBroker } from "./scratch-broker.ts";

/* Kafka's protocol by hand, in the oldest versions of the requests that Kafka 4 knows. */
const topic = "kept";

function toInt(value: number, size: 2 | 4 | 8): Buffer {
  const buffer = Buffer.alloc(size);
  if (size === 8) buffer.writeBigInt64BE(BigInt(value));
  else buffer.writeIntBE(value, 0, size);
  return buffer;
}

const toText = (text: string) => Buffer.concat([toInt(text.length, 2), Buffer.from(text)]);
const one = toInt(1, 4);
const none = toInt(0, 4);

function toRequest([kind, version]: [number, number], ...body: Buffer[]): Buffer {
  const correlation = Buffer.from("ask!"); // comes back at the start of the answer
  const all = Buffer.concat([toInt(kind, 2), toInt(version, 2), correlation, toInt(-1, 2), ...body]);
  return Buffer.concat([toInt(all.length, 4), all]);
}

const apiVersions = toRequest([18, 0]);
const createTopic = toRequest(
  [19, 2],
  Buffer.concat([one, toText(topic), one, toInt(1, 2), none, none]), // one partition, one replica
  Buffer.concat([toInt(10_000, 4), Buffer.from([0])]), // within 10 s, and not only tried
);
const lastOffset = toRequest([2, 1], toInt(-1, 4), one, toText(topic), one, none, toInt(-1, 8));

async function hears(port: number, request: Buffer, answer: string): Promise<boolean> {
  return (await askServer(port, request, answer)) !== undefined;
}

async function put({ port, url }: TestBroker): Promise<boolean> {
  const programs = await findKafka({ own: true });
  if (!("program" in programs && "jars" in programs)) return false;
  if (!(await hears(port, createTopic, "kept\0\0"))) return false;
  const record = `--topic ${topic} --num-records 1 --record-size 3 --throughput -1`;
  const args = `${record} --bootstrap-server ${url} --command-property acks=all`.split(" ");
  const sent = await runKafkaTool(programs, "org.apache.kafka.tools.ProducerPerformance", args);
  return /^1 records sent/m.test(sent);
}

testLauncher("Kafka", {
  file: "kafka.ts",
  find: findKafka,
  start: startKafka,
  variable: kafkaUrlVariable,
  answers: ({ port }) => hears(port, apiVersions, "ask!\0\0"),
  put,
  has: ({ port }) => hears(port, lastOffset, "\xff\xff\0\0\0\0\0\0\0\x01"),
});

test("a Kafka makes no topic that nobody has created", async ({ skip }) => {
  const kafka = inject("kafka");
  if ("missing" in kafka) return skip(kafka.missing);
  const port = Number(kafka.url.split(":")[1]);
  const unknownTopic = "\0\x03\0\x06nobody";
  const wanted = toRequest([3, 4], one, toText("nobody"), Buffer.from([1]));
  expect(await hears(port, wanted, unknownTopic)).toBe(true);
  expect(await hears(port, wanted, unknownTopic)).toBe(true);
});
