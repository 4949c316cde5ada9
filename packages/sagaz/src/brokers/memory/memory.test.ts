import { describe, expect, test } from "vitest";
import { brokerRules, toTitle, unmetNeeds } from "../../testing/index.ts";
import type { BrokerNeed, OpenBroker } from "../../testing/index.ts";
import { InMemoryBroker } from "./index.ts";

const provided: readonly BrokerNeed[] = ["outage"];

const open: OpenBroker = async () => {
  const broker = new InMemoryBroker();
  await broker.start();
  let topics = 0;
  return {
    broker,
    another: () => new InMemoryBroker({ beside: broker }),
    topic: async () => `topic-${topics++}`,
    outage: { begin: async () => broker.goAway(), end: async () => broker.comeBack() },
    close: () => broker.stop(),
  };
};

const met = brokerRules.filter((rule) => unmetNeeds(rule, provided).length === 0);

test.each(met.map((rule) => [rule.name, rule] as const))("%s", (_, rule) => rule.check(open));

test("what memory cannot do is declared, and these rules are all that it leaves out", () => {
  const left = brokerRules.filter((rule) => !met.includes(rule));
  expect(left.map((rule) => toTitle(rule, unmetNeeds(rule, provided)))).toMatchInlineSnapshot(`
    [
      "publish: a refused message is told from its neighbours, and holds back what follows it in its key (skipped: needs refused)",
      "publish: a topic that does not exist is said so, and its neighbours get through (skipped: needs unknownTopic)",
      "subscribe: the work of a process that died goes to the others of its group (skipped: needs crash)",
    ]
  `);
});

describe("a topic", () => {
  const toMessage = (n: number) => ({ topic: "t", key: "k", headers: {}, payload: String(n) });

  test("keeps the latest messages for groups to come, and no more than it may", async () => {
    const broker = new InMemoryBroker({ messagesKeptMax: 10 });
    await broker.start();
    for (let n = 0; n < 25; n++) expect(await broker.publish([toMessage(n)])).toEqual([undefined]);
    const texts: string[] = [];
    await broker.subscribe({
      group: "late",
      topics: ["t"],
      unackedMax: 100,
      handle: (messages) => texts.push(...messages.map(({ payload }) => String(payload))),
    });
    await expect.poll(() => texts.at(-1)).toBe("24");
    expect(texts.length).toBeLessThanOrEqual(10);
  });

  test("that a group does not read from takes no more than it may, and goes on when it is read", async () => {
    const broker = new InMemoryBroker({ messagesKeptMax: 10 });
    await broker.start();
    const subscription = await broker.subscribe({
      group: "slow",
      topics: ["t"],
      unackedMax: 100,
      handle: (messages) => void waiting.push(...messages),
    });
    const waiting: Parameters<typeof subscription.ack>[0][number][] = [];
    const answers = await broker.publish(Array.from({ length: 12 }, (_, n) => toMessage(n)));
    expect(answers.map((answer) => answer?.code)).toEqual([
      ...Array.from({ length: 10 }, () => undefined),
      "SAGAZ_BROKER_UNAVAILABLE",
      "SAGAZ_BROKER_UNAVAILABLE",
    ]);
    await expect.poll(() => waiting.length).toBe(10);
    subscription.ack(waiting);
    expect(await broker.publish([toMessage(12)])).toEqual([undefined]);
  });
});
