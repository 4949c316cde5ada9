import { deepEqual, equal, ok } from "node:assert/strict";
import type { BrokerMessage, MessageBroker } from "../../../ports/broker.ts";
import { given } from "../given.ts";
import { rule } from "./broker-rule.ts";
import type { BrokerRule } from "./broker-rule.ts";
import { fresh, Receiver, toMessage, until } from "./receiver.ts";

/** What a subscriber may rely on. */
export const subscribeRules: readonly BrokerRule[] = [
  rule("subscribe: every group gets every message", async (t) => {
    const topic = await t.topic();
    const receivers = await Promise.all(
      [1, 2, 3].map(() => new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] })),
    );
    const texts = await publish(t.broker, topic, { count: 50 });
    for (const receiver of receivers) await receiver.hasAll(texts);
  }),

  rule("subscribe: in a group each message goes to one, and one key to one at a time", async (t) => {
    const topic = await t.topic();
    const group = fresh("group");
    const other = t.another();
    await other.start();
    const one = await new Receiver().listen(t.broker, { group, topics: [topic] });
    const two = await new Receiver().listen(other, { group, topics: [topic] });
    const texts = await publish(t.broker, topic, { count: 200, keys: 10 });
    await until("each message has come", () => new Set([...one.texts, ...two.texts]).size === texts.length);
    for (let key = 0; key < 10; key++) {
      const ofKey = (all: readonly string[]) => all.filter((text) => text.startsWith(`key-${key}/`));
      const parts = [one, two].map((receiver) => ofKey(receiver.firsts)).filter((part) => part.length > 0);
      deepEqual(parts, [ofKey(texts)]);
    }
  }),

  rule("subscribe: a group keeps its place while nobody listens", async (t) => {
    const topic = await t.topic();
    const group = fresh("group");
    const before = await new Receiver().listen(t.broker, { group, topics: [topic] });
    const early = await publish(t.broker, topic, { count: 5 });
    await before.hasAll(early);
    await before.stop();
    const late = await publish(t.broker, topic, { count: 5, from: 5 });
    const after = await new Receiver().listen(t.broker, { group, topics: [topic] });
    await after.hasAll(late);
    deepEqual(after.firsts, late);
  }),

  rule("subscribe: what is not acknowledged comes again to the next one, in order", async (t) => {
    const topic = await t.topic();
    const group = fresh("group");
    const one = await new Receiver({ acks: false }).listen(t.broker, { group, topics: [topic] });
    const texts = await publish(t.broker, topic, { count: 10 });
    await one.has(10);
    one.ack(one.messages.slice(0, 4));
    await one.stop();
    await one.stop();
    const two = await new Receiver().listen(t.broker, { group, topics: [topic] });
    await two.hasAll(texts.slice(4));
    deepEqual(two.firsts, texts.slice(4));
  }),

  rule("subscribe: an acknowledgement in the middle does not cover what came before it", async (t) => {
    const topic = await t.topic();
    const group = fresh("group");
    const one = await new Receiver({ acks: false }).listen(t.broker, { group, topics: [topic] });
    const texts = await publish(t.broker, topic, { count: 10 });
    await one.has(10);
    one.ack(one.messages.filter((_, n) => n === 5 || n === 8 || n === 0));
    await one.stop();
    const two = await new Receiver().listen(t.broker, { group, topics: [topic] });
    const open = texts.filter((_, n) => n !== 5 && n !== 8 && n !== 0);
    await two.hasAll(open);
    ok(!two.texts.includes(given(texts[0])), "what is acknowledged up to a point does not come again");
    deepEqual(
      two.firsts.filter((text) => open.includes(text)),
      open,
    );
  }),

  rule("subscribe: no more is handed over than may be unacknowledged", async (t) => {
    const topic = await t.topic();
    const wanted = { group: fresh("group"), topics: [topic], unackedMax: 7 };
    const receiver = await new Receiver({ acks: false }).listen(t.broker, wanted);
    const texts = await publish(t.broker, topic, { count: 30 });
    for (let read = 0; read < 28; read += 7) {
      await receiver.has(read + 7);
      await receiver.quiet();
      equal(receiver.messages.length, read + 7);
      receiver.ack(receiver.messages.slice(read, read + 7));
    }
    deepEqual(await receiver.has(30), texts);
  }),

  rule(
    "subscribe: a receiver that throws keeps neither the broker nor other receivers from their work",
    async (t) => {
      const topic = await t.topic();
      let thrown = 0;
      const handle = () => {
        thrown += 1;
        throw new Error("a receiver's own trouble");
      };
      const group = fresh("group");
      const bad = await t.broker.subscribe({ group, topics: [topic], unackedMax: 10, handle });
      const good = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
      const texts = await publish(t.broker, topic, { count: 3 });
      await good.hasAll(texts);
      await until("the bad one was tried", () => thrown > 0);
      await bad.stop();
      const next = await new Receiver().listen(t.broker, { group, topics: [topic] });
      await next.hasAll(texts);
    },
  ),

  rule("subscribe: acknowledging twice, or after the stop, is harmless", async (t) => {
    const topic = await t.topic();
    const group = fresh("group");
    const one = await new Receiver({ acks: false }).listen(t.broker, { group, topics: [topic] });
    const texts = await publish(t.broker, topic, { count: 3 });
    await one.has(3);
    one.ack(one.messages.slice(0, 1));
    one.ack(one.messages.slice(0, 1));
    await one.stop();
    one.ack(one.messages);
    const two = await new Receiver().listen(t.broker, { group, topics: [topic] });
    await two.hasAll(texts.slice(1));
  }),

  rule(
    "subscribe: the stop of the broker ends its subscriptions, and leaves their rest to others",
    async (t) => {
      const topic = await t.topic();
      const group = fresh("group");
      const other = t.another();
      await other.start();
      const one = await new Receiver({ acks: false }).listen(other, { group, topics: [topic] });
      const texts = await publish(t.broker, topic, { count: 5 });
      await one.has(5);
      await other.stop();
      const handedOver = one.messages.length;
      const two = await new Receiver().listen(t.broker, { group, topics: [topic] });
      await two.hasAll(texts);
      equal(one.messages.length, handedOver);
    },
  ),

  rule(
    "subscribe: the work of a process that died goes to the others of its group",
    async (t) => {
      const topic = await t.topic();
      const group = fresh("group");
      const mortal = await given(t.crash)();
      const one = await new Receiver({ acks: false }).listen(mortal.broker, { group, topics: [topic] });
      const texts = await publish(t.broker, topic, { count: 5 });
      await one.has(5);
      const two = await new Receiver().listen(t.broker, { group, topics: [topic] });
      await mortal.die();
      await two.hasAll(texts);
      deepEqual(two.firsts, texts);
    },
    ["crash"],
  ),
];

/** Publishes texts, each its key and number, and answers them. */
export async function publish(
  broker: MessageBroker,
  topic: string,
  { count, keys = 1, from = 0 }: { readonly count: number; readonly keys?: number; readonly from?: number },
): Promise<readonly string[]> {
  const messages: BrokerMessage[] = [];
  for (let n = from; n < from + count; n++) {
    const key = `key-${n % keys}`;
    messages.push(toMessage(topic, key, `${key}/${n}`));
  }
  deepEqual(
    await broker.publish(messages),
    messages.map(() => undefined),
  );
  return messages.map(({ payload }) => String(payload));
}
