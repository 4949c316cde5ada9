import { SagaError } from "../../core/errors.ts";
import type { AmqpChannel } from "./amqp.ts";

/**
 * A message that was handed over so often, and each time came back because its receiver died or let go of it, is put
 * aside. It is a last resort against a message that kills its receivers; an outage that lets them crash for hours must
 * not put healthy messages aside, so it is far above the 20 that RabbitMQ 4 has by itself.
 */
export const deliveriesMax = 100;

/** What the protocol allows. */
const queueNameBytesMax = 255;

/** Whose messages a queue holds. */
export interface QueuePlace {
  readonly exchange: string;
  readonly group: string;
  readonly topic: string;
}

/** The queue of a group for a topic: `sagaz/billing/order.placed`. */
export function toQueueName({ exchange, group, topic }: QueuePlace): string {
  return `${toPart(exchange)}/${toPart(group)}/${topic}`;
}

/** Where what was handed over too often is put aside: `sagaz-dead-letters/billing/order.placed`. */
export function toDeadLetterName({ exchange, group, topic }: QueuePlace): string {
  return `${toPart(exchange)}-dead-letters/${toPart(group)}/${topic}`;
}

/** No two places make the same name, wherever they have their slashes. */
function toPart(name: string): string {
  return name.replaceAll("%", "%25").replaceAll("/", "%2F");
}

/**
 * Looks whether there can be a queue of its own for a place.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`
 */
export function checkPlace(place: QueuePlace): void {
  // In a binding these stand for other topics as well.
  if (place.topic.split(".").some((word) => word === "*" || word === "#"))
    refuse("topics", place.topic, "none of its words between dots may be * or #");
  const name = toDeadLetterName(place);
  if (Buffer.byteLength(name) > queueNameBytesMax)
    refuse("group and topic", name, `the name of their queue may have ${queueNameBytesMax} bytes`);
}

function refuse(option: string, value: string, rule: string): never {
  const details = { where: "subscribe", option, value: JSON.stringify(value), rule };
  throw new SagaError("SAGAZ_INVALID_OPTION", details);
}

/** Makes what a group needs to receive a topic, unless it is there; answers the queue's name. */
export async function declareQueue(channel: AmqpChannel, place: QueuePlace): Promise<string> {
  const [queue, deadLetters] = [toQueueName(place), toDeadLetterName(place)];
  await channel.assertExchange(place.exchange, "topic", { durable: true });
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      "x-queue-type": "quorum",
      // One member of the group at a time, or a key's messages would be spread over all.
      "x-single-active-consumer": true,
      "x-delivery-limit": deliveriesMax,
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": deadLetters,
      // So that none is lost on its way there. The server wants the second for the first; without a limit on the queue's
      // length it changes nothing.
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    },
  });
  // It comes last on purpose. A new quorum queue that is the last one made comes back empty and without a leader when its
  // only node is killed within the next second (seen in 3.10).
  await channel.assertQueue(deadLetters, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await channel.bindQueue(queue, place.exchange, place.topic);
  return queue;
}
