import * as kafka from "@platformatic/kafka";
import { afterAll, beforeAll, test } from "vitest";
import { startKafkaWithListeners } from "../../../../../tools/servers/kafka-listeners.ts";
import type { KafkaWithListeners } from "../../../../../tools/servers/kafka-listeners.ts";
import { brokerRules } from "../../testing/index.ts";
import type { OpenBroker } from "../../testing/index.ts";
import { KafkaBroker } from "./index.ts";

let server: KafkaWithListeners | { readonly missing: string };
let topics = 0;

beforeAll(async () => {
  server = await startKafkaWithListeners();
});

afterAll(async () => {
  if ("stop" in server) await server.stop();
});

test.for(brokerRules.map((rule) => [rule.name, rule] as const))("%s", async ([, rule], { skip }) => {
  if ("missing" in server) return skip(server.missing);
  await rule.check(toOpen(server));
});

function toOpen({ plain, proxied, proxy, kafka: process }: KafkaWithListeners): OpenBroker {
  return async () => {
    const brokers: KafkaBroker[] = [];
    // Nobody loses its place because it, or the server, has not got its turn for a while: only who dies is soon forgotten.
    const add = (listener: string, sessionTimeoutMs = 10_000) => {
      const limits = { publishTimeoutMs: 3_000, answerTimeoutMs: 3_000, sessionTimeoutMs };
      const broker = new KafkaBroker({ kafka, servers: [listener], ...limits });
      brokers.push(broker);
      return broker;
    };
    const broker = add(plain);
    await broker.start();
    return {
      broker,
      another: () => add(plain),
      topic: () => createTopic(plain),
      outage: { begin: () => process.kill(), end: () => process.restart() },
      keepsHandedOver: true,
      refused: (topic, key) => ({ topic, key, headers: {}, payload: "x".repeat(2_000_000) }),
      unknownTopic: () => `nobody-created-this-${topics++}`,
      // To the server, a process that died is one whose connections broke and who never says farewell.
      crash: async () => {
        const mortal = add(proxied, 3_000);
        await mortal.start();
        return { broker: mortal, die: async () => proxy.cut() };
      },
      close: async () => {
        proxy.heal();
        await Promise.all(brokers.map((each) => each.stop()));
      },
    };
  };
}

async function createTopic(listener: string): Promise<string> {
  const admin = new kafka.Admin({ clientId: "tests", bootstrapBrokers: [listener] });
  const topic = `topic-${topics++}`;
  await admin.createTopics({ topics: [topic], partitions: 4, replicas: 1 });
  await admin.close();
  return topic;
}
