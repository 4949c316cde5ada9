import { connect } from "amqplib";
import type { BareClient } from "./bare-client.ts";
import { topic } from "./events.ts";

/** Where our adapter publishes to, so that both ways end in one queue. */
const exchange = "sagaz";
const queue = "bench";

/** Persistent, `mandatory`, on one confirm channel; all confirms of a batch are awaited together. */
export async function openRabbitMQ(url: string): Promise<BareClient> {
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  return {
    async publish(messages) {
      for (const { topic: routingKey, key, headers, payload } of messages) {
        const options = {
          persistent: true,
          mandatory: true,
          messageId: headers["ce_id"] ?? "",
          headers: { ...headers, key },
        };
        channel.publish(exchange, routingKey, Buffer.from(payload as string), options);
      }
      await channel.waitForConfirms();
    },
    close: () => connection.close(),
  };
}

/** An empty quorum queue for the topic. */
export async function purgeRabbitMQ(url: string): Promise<void> {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  await channel.deleteQueue(queue);
  await channel.assertExchange(exchange, "topic", { durable: true });
  await channel.assertQueue(queue, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await channel.bindQueue(queue, exchange, topic);
  await connection.close();
}
