import {
  Admin,
  compatibilityPartitioner,
  ProduceAcks,
  Producer,
  stringSerializers,
} from "@platformatic/kafka";
import type { BareClient } from "./bare-client.ts";
import { topic } from "./events.ts";

/** The partitions of the topic. */
export const partitionNumbers: readonly number[] = [0, 1, 2, 3];

const upToItsEnd = -1n;

/** Idempotent, all replicas, one send of a whole batch at a time: several at once would come out of order. */
export async function openKafka(url: string): Promise<BareClient> {
  const producer = new Producer({
    clientId: "bench",
    bootstrapBrokers: [hostOf(url)],
    serializers: stringSerializers,
    idempotent: true,
    acks: ProduceAcks.ALL,
    partitioner: compatibilityPartitioner,
  });
  return {
    async publish(messages) {
      await producer.send({
        messages: messages.map(({ topic: to, key, headers, payload }) => ({
          topic: to,
          key,
          headers,
          value: payload as string,
        })),
      });
    },
    close: () => producer.close(),
  };
}

/** The topic, made if it is missing, without the messages that are in it. */
export async function emptyTopic(url: string): Promise<void> {
  const admin = new Admin({ clientId: "bench", bootstrapBrokers: [hostOf(url)] });
  const topics = await admin.listTopics();
  if (topics.includes(topic)) {
    const all = partitionNumbers.map((partition) => ({ partition, offset: upToItsEnd }));
    await admin.deleteRecords({ topics: [{ name: topic, partitions: all }] });
  } else await admin.createTopics({ topics: [topic], partitions: partitionNumbers.length, replicas: 1 });
  await admin.close();
}

/** `host:port` of a URL that `createBroker` takes. */
export function hostOf(url: string): string {
  return new URL(url).host;
}
