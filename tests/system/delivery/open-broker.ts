import { Redis } from "ioredis";
import { createBroker, type MessageBroker } from "sagaz";
import { KafkaBroker } from "sagaz/kafka";
import { RedisBroker } from "sagaz/redis";

/** Opens the broker of a town, by its URL or Kafka's address, with times that suit a test: what is lost is missed soon. */
export async function openBroker(url: string): Promise<MessageBroker> {
  if (url.startsWith("redis:")) {
    const client = new Redis(url, { lazyConnect: true });
    return new RedisBroker({ client, leaseMs: 1_000, answerTimeoutMs: 1_000 });
  }
  if (!url.includes("://")) {
    const kafka = await import("@platformatic/kafka");
    const createTopics = { partitions: 3, replicas: 1 };
    return new KafkaBroker({ kafka, servers: [url], createTopics, sessionTimeoutMs: 6_000 });
  }
  return createBroker(url);
}
