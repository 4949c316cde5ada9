import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { REDRIVEN } from "../../../core/delivery/redriven-row.ts";
import { isSagaError } from "../../../core/errors.ts";
import type { SagaError } from "../../../core/errors.ts";
import type { BrokerMessage } from "../../../ports/broker.ts";
import { given } from "../given.ts";
import { rule } from "./broker-rule.ts";
import type { BrokerRule } from "./broker-rule.ts";
import { fresh, Receiver, toMessage } from "./receiver.ts";

/** What a publisher may rely on. */
export const publishRules: readonly BrokerRule[] = [
  rule("publish: a message arrives as it was, whatever is in it", async (t) => {
    const topic = await t.topic();
    const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
    const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
    const long = "long ".repeat(20_000);
    const sent: BrokerMessage[] = [
      { topic, key: "plain", headers: { ce_id: "1" }, payload: '{"total":1.5}' },
      { topic, key: "bytes", headers: { ce_id: "2" }, payload: bytes },
      {
        topic,
        key: "kéy 🔑 \"'\\:.*>#",
        headers: { ce_id: "3", "x-note": "größer → 🎉" },
        payload: "größer → 🎉",
      },
      { topic, key: "empty", headers: {}, payload: "" },
      {
        topic,
        key: "long",
        headers: { ce_id: "5", traceparent: "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01" },
        payload: long,
      },
    ];
    deepEqual(
      await t.broker.publish(sent),
      sent.map(() => undefined),
    );
    await receiver.has(sent.length);
    const byKey = new Map(receiver.messages.map((message) => [message.key, message]));
    for (const { key, headers, payload } of sent) {
      const came = given(byKey.get(key));
      equal(came.topic, topic);
      deepEqual({ ...came.headers }, headers);
      deepEqual(Buffer.from(came.payload), Buffer.from(payload));
    }
  }),

  rule("publish: nothing is answered with nothing", async (t) => {
    deepEqual(await t.broker.publish([]), []);
  }),

  rule("publish: what is changed after the call does not change the message", async (t) => {
    const topic = await t.topic();
    const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
    const payload = new TextEncoder().encode("as it was");
    const publishing = t.broker.publish([{ topic, key: "k", headers: {}, payload }]);
    deepEqual(await publishing, [undefined]);
    payload.fill(0);
    deepEqual(await receiver.has(1), ["as it was"]);
  }),

  rule("publish: an event that is redriven arrives, however lately it has arrived before", async (t) => {
    const topic = await t.topic();
    const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
    const headers = { ce_id: fresh("event"), ce_source: "shop" };
    const redriven = { ...headers, [REDRIVEN]: "true" };
    const event = { topic, key: "k", headers, payload: "first" };
    deepEqual(await t.broker.publish([event]), [undefined]);
    for (const payload of ["redriven", "and again"])
      deepEqual(await t.broker.publish([{ ...event, headers: redriven, payload }]), [undefined]);
    deepEqual(await receiver.has(3), ["first", "redriven", "and again"]);
  }),

  rule("publish: messages of one key keep their order, in one call and from call to call", async (t) => {
    const topic = await t.topic();
    const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
    const keys = Array.from({ length: 20 }, (_, n) => `key-${n}`);
    const all: BrokerMessage[] = [];
    for (let call = 0; call < 10; call++) {
      const batch = Array.from({ length: 100 }, (_, n) => {
        const key = keys[(n * 7 + call) % keys.length] ?? "";
        return toMessage(topic, key, `${key}/${call * 100 + n}`);
      });
      deepEqual(
        await t.broker.publish(batch),
        batch.map(() => undefined),
      );
      all.push(...batch);
    }
    await receiver.hasAll(all.map(textOf));
    for (const key of keys) {
      const ofKey = (texts: readonly string[]) => texts.filter((text) => text.startsWith(`${key}/`));
      deepEqual(ofKey(receiver.firsts), ofKey(all.map(textOf)));
    }
  }),

  rule("publish: two topics do not mix", async (t) => {
    const [one, two] = [await t.topic(), await t.topic()];
    const group = fresh("group");
    const first = await new Receiver().listen(t.broker, { group, topics: [one] });
    const both = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [one, two] });
    await t.broker.publish([toMessage(one, "k", "1"), toMessage(two, "k", "2")]);
    deepEqual([...(await both.has(2))].sort(), ["1", "2"]);
    deepEqual(await first.has(1), ["1"]);
    await first.nothingNew();
  }),

  rule(
    "publish: a refused message is told from its neighbours, and holds back what follows it in its key",
    async (t) => {
      const topic = await t.topic();
      const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
      const refused = given(t.refused)(topic, "bad");
      const [before, bad, after, other] = await t.broker.publish([
        toMessage(refused.topic, "bad", "before"),
        refused,
        toMessage(refused.topic, "bad", "after"),
        toMessage(topic, "good", "good"),
      ]);
      ok(isSagaError(bad, "SAGAZ_MESSAGE_REFUSED") || isSagaError(bad, "SAGAZ_UNKNOWN_TOPIC"), String(bad));
      equal(bad.retryable, false);
      // Where the broker refuses the topic itself, it takes nothing for it: the message before is refused as well.
      const texts = before === undefined ? ["before", "good"] : ["good"];
      if (before !== undefined) equal(before.code, bad.code);
      ok(after !== undefined, "a message was accepted after one of its key that was not");
      equal(other, undefined);
      // A server that closes the channel over the refused one leaves its neighbours in doubt: they are sent once more.
      await receiver.hasAll(texts);
      await receiver.nothingNew();
      deepEqual([...receiver.firsts].sort(), texts);
    },
    ["refused"],
  ),

  rule(
    "publish: a topic that does not exist is said so, and its neighbours get through",
    async (t) => {
      const topic = await t.topic();
      const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
      const unknown = given(t.unknownTopic)();
      const [none, good] = await t.broker.publish([
        toMessage(unknown, "k", "lost"),
        toMessage(topic, "k", "good"),
      ]);
      ok(isSagaError(none, "SAGAZ_UNKNOWN_TOPIC"), String(none));
      ok(none.message.includes(unknown), none.message);
      equal(good, undefined);
      deepEqual(await receiver.has(1), ["good"]);
    },
    ["unknownTopic"],
  ),

  rule("publish: calls at the same time do not disturb each other", async (t) => {
    const topic = await t.topic();
    const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
    const calls = Array.from({ length: 20 }, (_, call) =>
      Array.from({ length: 50 }, (_, n) => toMessage(topic, `key-${call}`, `${call}/${n}`)),
    );
    const answers = await Promise.all(calls.map((batch) => t.broker.publish(batch)));
    deepEqual(
      answers.flat(),
      calls.flat().map(() => undefined),
    );
    await receiver.hasAll(calls.flat().map(textOf));
    for (const batch of calls) {
      const prefix = textOf(given(batch[0])).replace(/0$/, "");
      deepEqual(
        receiver.firsts.filter((text) => text.startsWith(prefix)),
        batch.map(textOf),
      );
    }
  }),

  rule("life: before the start and after the stop nothing is sent; both are safe twice", async (t) => {
    const topic = await t.topic();
    const broker = t.another();
    const call = () => broker.publish([toMessage(topic, "k", "1")]);
    const listen = () => broker.subscribe({ group: "g", topics: [topic], unackedMax: 1, handle: () => {} });
    await rejects(call, hasCode("SAGAZ_NOT_STARTED"));
    await rejects(listen, hasCode("SAGAZ_NOT_STARTED"));
    equal((await broker.health()).isUp, false);
    await broker.start();
    await broker.start();
    deepEqual(await broker.health(), { isUp: true });
    deepEqual(await call(), [undefined]);
    await broker.stop();
    await broker.stop();
    await rejects(call, hasCode("SAGAZ_STOPPED"));
    await rejects(listen, hasCode("SAGAZ_STOPPED"));
    equal((await broker.health()).isUp, false);
    await t.another().stop();
  }),
];

function textOf({ payload }: BrokerMessage): string {
  return String(payload);
}

function hasCode(code: SagaError["code"]): (error: unknown) => boolean {
  return (error) => isSagaError(error, code);
}
