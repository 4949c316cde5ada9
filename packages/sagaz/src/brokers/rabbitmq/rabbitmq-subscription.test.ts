import { EventEmitter, once } from "node:events";
import { expect, test } from "vitest";
import type { ReceivedMessage } from "../../ports/broker.ts";
import type { AmqpDelivery } from "./amqp.ts";
import type { Link } from "./link.ts";
import { RabbitMQSubscription } from "./rabbitmq-subscription.ts";

/** A channel by hand. */
class Channel extends EventEmitter {
  readonly acked: number[] = [];
  deliver: (delivery: AmqpDelivery | null) => void = () => {};

  assertExchange = () => Promise.resolve();
  assertQueue = () => Promise.resolve();
  bindQueue = () => Promise.resolve();
  prefetch = () => Promise.resolve();

  consume(_: string, onMessage: (delivery: AmqpDelivery | null) => void): Promise<void> {
    this.deliver = onMessage;
    return Promise.resolve();
  }

  ack({ fields }: { fields: { deliveryTag: number } }): void {
    this.acked.push(fields.deliveryTag);
  }

  close(): Promise<void> {
    this.emit("close");
    return Promise.resolve();
  }

  give(tag: number): void {
    const properties = { headers: { "sagaz-key": "k" } };
    this.deliver({ content: Buffer.from(String(tag)), fields: { deliveryTag: tag }, properties });
  }
}

/** A subscription to some topics; `handed` tells of each handing over. Channels for which there is a trouble fail. */
function subscribe(topics: readonly string[] = ["t"], unackedMax = 10) {
  const handed: ReceivedMessage[][] = [];
  const channels: Channel[] = [];
  const happened = new EventEmitter();
  const troubles: (Error | undefined)[] = [];
  const connection = {
    createChannel: (): Promise<Channel> => {
      const trouble = troubles.shift();
      if (trouble) return Promise.reject(trouble);
      const channel = new Channel();
      channels.push(channel);
      happened.emit("open");
      return Promise.resolve(channel);
    },
  };
  const subscription = new RabbitMQSubscription({
    link: { connection, whenOpen: () => Promise.resolve(connection) } as unknown as Link,
    exchange: "sagaz",
    group: "g",
    topics,
    unackedMax,
    answerTimeoutMs: 60_000,
    handle: (messages) => void handed.push([...messages]),
    onStop: () => {},
  });
  return { subscription, handed, channels, troubles, happened };
}

/** Until what was delivered in this turn is handed over. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

function textsOf(handed: readonly ReceivedMessage[][]): string[][] {
  return handed.map((messages) => messages.map(({ payload }) => Buffer.from(payload).toString()));
}

test("what comes in one turn is handed over in one call, as far as there is room", async () => {
  const { subscription, handed, channels } = subscribe(["t"], 2);
  await subscription.start();
  for (const tag of [1, 2, 3]) channels[0]?.give(tag);
  await turn();
  expect(textsOf(handed)).toEqual([["1", "2"]]);
  channels[0]?.give(4);
  await turn();
  expect(handed).toHaveLength(1);
  subscription.ack(handed[0] ?? []);
  subscription.ack(handed[0] ?? []);
  await turn();
  expect(textsOf(handed)).toEqual([
    ["1", "2"],
    ["3", "4"],
  ]);
  await subscription.stop();
  expect(channels[0]?.acked).toEqual([2]); // all up to it
});

test("of an inlet that was closed nothing can be acknowledged, of the others all", async () => {
  const { subscription, handed, channels, happened } = subscribe(["t", "u"]);
  await subscription.start();
  channels[0]?.give(1);
  channels[1]?.give(7);
  await turn();
  const reopened = once(happened, "open");
  await channels[0]?.close();
  await reopened;
  subscription.ack(handed.flat());
  await subscription.stop();
  expect(channels.map(({ acked }) => acked)).toEqual([[], [7], []]);
});

test("an inlet that cannot be opened again is tried again", async () => {
  const { subscription, handed, channels, troubles, happened } = subscribe();
  await subscription.start();
  const reopened = once(happened, "open");
  troubles.push(new Error("no queue"));
  await channels[0]?.close();
  await reopened;
  await turn();
  channels[1]?.give(1);
  await turn();
  expect(textsOf(handed)).toEqual([["1"]]);
  await subscription.stop();
});

test("what comes in after the stop is not handed over", async () => {
  const { subscription, handed, channels } = subscribe();
  await subscription.start();
  await subscription.stop();
  channels[0]?.give(1);
  await turn();
  expect(handed).toEqual([]);
});

test("an inlet that is opened while it stops is closed again", async () => {
  const { subscription, channels } = subscribe();
  const starting = subscription.start();
  const [channel] = channels;
  if (!channel) throw new Error("there is no channel");
  const closed = once(channel, "close");
  await subscription.stop();
  await closed;
  await starting;
});

test("a start of which one topic fails closes the inlets of the others", async () => {
  const { subscription, channels, troubles } = subscribe(["t", "u"]);
  troubles.push(undefined, new Error("no channel is left"));
  const starting = subscription.start();
  const [channel] = channels;
  if (!channel) throw new Error("there is no channel");
  const closed = once(channel, "close");
  await expect(starting).rejects.toThrow(/SAGAZ_BROKER_UNAVAILABLE.*no channel is left/);
  await closed;
});
