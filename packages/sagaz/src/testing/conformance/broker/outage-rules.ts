import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { isSagaError } from "../../../core/errors.ts";
import type { SagaError } from "../../../core/errors.ts";
import type { BrokerMessage, MessageBroker } from "../../../ports/broker.ts";
import { given } from "../given.ts";
import { rule } from "./broker-rule.ts";
import type { BrokerRule } from "./broker-rule.ts";
import { breathe, fresh, Receiver, toMessage, until } from "./receiver.ts";
import { publish } from "./subscribe-rules.ts";

/** What holds when the server goes away and comes back. */
export const outageRules: readonly BrokerRule[] = [
  rule(
    "outage: it is told from a refusal, and the same object publishes again when the server is back",
    async (t) => {
      const outage = given(t.outage);
      const topic = await t.topic();
      const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
      await receiver.hasAll(await publish(t.broker, topic, { count: 5 }));
      await outage.begin();
      const [answer] = await t.broker.publish([toMessage(topic, "k", "in the outage")]);
      ok(isSagaError(answer, "SAGAZ_BROKER_UNAVAILABLE"), String(answer));
      equal(answer.retryable, true);
      await until("the outage shows in its health", async () => !(await t.broker.health()).isUp);
      const other = t.another();
      await rejects(
        () => other.start(),
        (error) => isSagaError(error, "SAGAZ_BROKER_UNAVAILABLE"),
      );
      await outage.end();
      await publishUntilAccepted(t.broker, [toMessage(topic, "k", "after the outage")]);
      await receiver.hasAll(["after the outage"]);
      await until("its health is well again", async () => (await t.broker.health()).isUp);
      await other.start();
      deepEqual(await other.publish([toMessage(topic, "k", "from another")]), [undefined]);
      await receiver.hasAll(["from another"]);
    },
    ["outage"],
  ),

  rule(
    "outage: a subscription goes on by itself, and what was not acknowledged comes again",
    async (t) => {
      const outage = given(t.outage);
      const topic = await t.topic();
      const group = fresh("group");
      const receiver = await new Receiver({ acks: false }).listen(t.broker, { group, topics: [topic] });
      const texts = await publish(t.broker, topic, { count: 5 });
      await receiver.has(5);
      await outage.begin();
      await until("the outage is noticed", async () => !(await t.broker.health()).isUp);
      await outage.end();
      if (t.keepsHandedOver) {
        // Nothing comes again to who still has it; what it does not acknowledge comes to the next one.
        await publishUntilAccepted(t.broker, [toMessage(topic, "key-0", "new")]);
        await receiver.hasAll(["new"]);
        deepEqual(receiver.texts, [...texts, "new"]);
        receiver.ack(receiver.messages.slice(0, 2));
        await receiver.stop();
        const next = await new Receiver().listen(t.broker, { group, topics: [topic] });
        await next.hasAll([...texts.slice(2), "new"]);
        deepEqual(next.firsts, [...texts.slice(2), "new"]);
        return;
      }
      await until("all come again", () => texts.every((text) => receiver.texts.lastIndexOf(text) >= 5));
      // What was handed over before the outage is not what was handed over after it.
      receiver.ack(receiver.messages.slice(5));
      await publishUntilAccepted(t.broker, [toMessage(topic, "key-0", "new")]);
      await receiver.hasAll(["new"]);
    },
    ["outage"],
  ),

  rule(
    "outage: a publisher that repeats what was not accepted loses nothing, and first deliveries keep their order",
    async (t) => {
      const outage = given(t.outage);
      const topic = await t.topic();
      const receiver = await new Receiver().listen(t.broker, { group: fresh("group"), topics: [topic] });
      let isOver = false;
      const keys = [0, 1, 2].map(async (key) => {
        let n = 0;
        // On until well after the outage.
        for (let after = 0; after < 5; n++, after += isOver ? 1 : 0)
          await publishUntilAccepted(
            t.broker,
            [0, 1, 2].map((i) => toMessage(topic, `key-${key}`, `key-${key}/${n}.${i}`)),
          );
        return Array.from({ length: n * 3 }, (_, m) => `key-${key}/${Math.floor(m / 3)}.${m % 3}`);
      });
      await receiver.has(20);
      await outage.begin();
      await until("the outage is noticed", async () => !(await t.broker.health()).isUp);
      await outage.end();
      isOver = true;
      for (const [key, sent] of (await Promise.all(keys)).entries()) {
        await receiver.hasAll(sent);
        const firsts = receiver.firsts.filter((text) => text.startsWith(`key-${key}/`));
        deepEqual(firsts, sent);
      }
    },
    ["outage"],
  ),
];

/** Repeats what was not accepted, in order, until all of it is. */
async function publishUntilAccepted(
  broker: MessageBroker,
  messages: readonly BrokerMessage[],
): Promise<void> {
  let left = messages;
  await breathe();
  await until("the broker accepts", async () => {
    const answers = await broker.publish(left);
    equal(answers.length, left.length);
    for (const answer of answers) if (answer) ok(isOutage(answer), String(answer));
    left = left.filter((_, n) => answers[n] !== undefined);
    return left.length === 0;
  });
}

function isOutage({ code }: SagaError): boolean {
  return code === "SAGAZ_BROKER_UNAVAILABLE" || code === "SAGAZ_BROKER_HELD_BACK";
}
