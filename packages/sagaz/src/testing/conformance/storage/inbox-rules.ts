import { deepEqual, equal, rejects } from "node:assert/strict";
import { OUTBOX_SHARDS, shardOf } from "../../../core/delivery/shard.ts";
import type { InboxAnswer, InboxRow, InboxWork } from "../../../ports/inbox.ts";
import type { OutboxRow } from "../../../ports/outbox.ts";
import { given } from "../given.ts";
import { advance } from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

const consumerName = "billing";
const DAY_MS = 86_400_000;

function toRow(eventId: string): InboxRow {
  return { eventId, sourceTopic: "orders", eventType: "order.placed" };
}

const never: InboxWork = () => Promise.reject(new Error("it was done before"));

/** A moment that one part of a rule waits for and another one brings. */
function moment(): { readonly hasCome: Promise<void>; come(): void } {
  const waiting: (() => void)[] = [];
  const hasCome = new Promise<void>((resolve) => {
    waiting.push(resolve);
  });
  return { hasCome, come: () => waiting.forEach((resolve) => resolve()) };
}

/** No work of these rules takes as long. */
const idleMsMax = 60_000;

/** Work whose result is the place of each message. */
const numbered: InboxWork = async (_, fresh) => fresh.map((n) => String(n));

function process(
  t: StorageUnderTest,
  eventIds: readonly string[],
  {
    work = numbered,
    consumer = consumerName,
  }: { readonly work?: InboxWork; readonly consumer?: string } = {},
): Promise<readonly InboxAnswer[]> {
  const messages = eventIds.map(toRow);
  return t.storage.inbox.process({ consumerName: consumer, messages, idleMsMax }, work);
}

const fresh = (result: string | null): InboxAnswer => ({ isDuplicate: false, result });
const duplicate = (result: string | null): InboxAnswer => ({ isDuplicate: true, result });

/** What consumers have processed: once each, together with the work, or not at all. */
export const inboxRules: readonly StorageRule[] = [
  rule("inbox: a message is processed once, and its repetition gets what was kept", async (t) => {
    const result = '{"note":"größer → 🎉"}';
    deepEqual(await process(t, ["a"], { work: async () => [result] }), [fresh(result)]);
    deepEqual(await process(t, ["a"], { work: never }), [duplicate(result)]);
    deepEqual(await process(t, ["b"], { work: async () => [null] }), [fresh(null)]);
    deepEqual(await process(t, ["b"], { work: never }), [duplicate(null)]);
  }),

  rule("inbox: an id of any characters is kept as it is", async (t) => {
    const odd = [
      "$1",
      "$sagaz$",
      "$sagaz1$ $sagaz$; select 1",
      `it's "so"`,
      "a\\b",
      "{a,b}",
      "NULL",
      " ",
      "größer 🎉",
    ];
    for (const id of odd) deepEqual(await process(t, [id]), [fresh("0")]);
    for (const id of odd) deepEqual(await process(t, [id], { work: never }), [duplicate("0")]);
    const batch = await process(t, [...odd, "new"]);
    deepEqual(batch, [...odd.map(() => duplicate("0")), fresh(String(odd.length))]);
    deepEqual(
      await process(t, [...odd], { consumer: "shipping" }),
      odd.map((_, n) => fresh(String(n))),
    );
  }),

  rule("inbox: two consumers do not shadow each other", async (t) => {
    deepEqual(await process(t, ["a"]), [fresh("0")]);
    deepEqual(await process(t, ["a"], { consumer: "shipping" }), [fresh("0")]);
    deepEqual(await process(t, ["a"], { consumer: "shipping" }), [duplicate("0")]);
  }),

  rule("inbox: of a batch only what is new is worked on, and answers stand in its order", async (t) => {
    await process(t, ["c", "a"], { work: async (_, places) => places.map((n) => `"first ${n}"`) });
    const seen: (readonly number[])[] = [];
    const work: InboxWork = async (_, places) => {
      seen.push(places);
      return places.map((n) => (n === 3 ? null : String(n)));
    };
    deepEqual(await process(t, ["a", "b", "c", "d", "e"], { work }), [
      duplicate('"first 1"'),
      fresh("1"),
      duplicate('"first 0"'),
      fresh(null),
      fresh("4"),
    ]);
    deepEqual(seen, [[1, 3, 4]]);
    deepEqual(await process(t, ["d", "e"]), [duplicate(null), duplicate("4")]);
    deepEqual(await process(t, []), []);
  }),

  rule("inbox: work that throws leaves no row, and its error comes through", async (t) => {
    const trouble = new Error("a handler's own trouble");
    await rejects(() => process(t, ["a", "b"], { work: () => Promise.reject(trouble) }), trouble);
    deepEqual(await process(t, ["b", "a"]), [fresh("0"), fresh("1")]);
  }),

  rule("inbox: who is second waits for the first, and finds a duplicate", async (t) => {
    const [begun, finished] = [moment(), moment()];
    const first = process(t, ["a"], {
      work: async () => {
        begun.come();
        await finished.hasCome;
        return ['"first"'];
      },
    });
    await begun.hasCome;
    const second = process(t, ["b", "a"]);
    finished.come();
    deepEqual(await first, [fresh('"first"')]);
    deepEqual(await second, [fresh("0"), duplicate('"first"')]);
  }),

  rule("inbox: who is second does the work when the first gives up", async (t) => {
    const [begun, finished] = [moment(), moment()];
    const first = process(t, ["a"], {
      work: async () => {
        begun.come();
        await finished.hasCome;
        throw new Error("no");
      },
    });
    await begun.hasCome;
    const second = process(t, ["a"], { work: async () => ['"second"'] });
    finished.come();
    await rejects(() => first);
    deepEqual(await second, [fresh('"second"')]);
  }),

  rule("inbox: overlapping batches at the same time do each message once", async (t) => {
    const other = await t.another();
    const ids = Array.from({ length: 40 }, (_, n) => `id-${n}`);
    const done: string[] = [];
    const batches = Array.from({ length: 8 }, (_, n) => {
      const batch = [...ids.slice(n * 4), ...ids.slice(0, n * 4)].slice(0, 20);
      const work: InboxWork = async (_, places) => {
        done.push(...places.map((place) => given(batch[place])));
        return places.map(() => null);
      };
      const storage = n % 2 === 0 ? t.storage : other;
      return storage.inbox.process({ consumerName, messages: batch.map(toRow), idleMsMax }, work);
    });
    await Promise.all(batches);
    deepEqual([...done].sort(), [...ids].sort());
  }),

  rule("inbox: what the work publishes is published if and only if the work succeeds", async (t) => {
    const event = toEvent("x");
    const publishes = (fails: boolean): InboxWork => {
      return async (tx, places) => {
        await t.storage.outbox.addIn(tx, [event]);
        if (fails) throw new Error("no");
        return places.map(() => null);
      };
    };
    await rejects(() => process(t, ["a"], { work: publishes(true) }));
    equal((await t.storage.outbox.backlog()).pending, 0);
    await process(t, ["a"], { work: publishes(false) });
    equal((await t.storage.outbox.backlog()).pending, 1);
  }),

  rule(
    "inbox: the work's own writes and the row commit together",
    async (t) => {
      const notes = given(t.notes);
      const noting = (text: string, fails = false): InboxWork => {
        return async (tx, places) => {
          await notes.write(tx, text);
          if (fails) throw new Error("no");
          return places.map(() => null);
        };
      };
      await process(t, ["a"], { work: noting("kept") });
      await rejects(() => process(t, ["b"], { work: noting("lost", true) }));
      await process(t, ["a"], { work: noting("twice") });
      deepEqual(await notes.read(), ["kept"]);
    },
    ["transactionalSteps"],
  ),

  rule(
    "inbox: in the caller's transaction a message is processed if and only if that commits",
    async (t) => {
      const request = { consumerName, messages: [toRow("a")] };
      const lost = await given(t.begin)();
      deepEqual(await t.storage.inbox.processIn(lost.tx, request, numbered), [fresh("0")]);
      deepEqual(await t.storage.inbox.processIn(lost.tx, request, numbered), [duplicate("0")]);
      await lost.rollback();
      const kept = await given(t.begin)();
      deepEqual(await t.storage.inbox.processIn(kept.tx, request, async () => ['"kept"']), [fresh('"kept"')]);
      await kept.commit();
      deepEqual(await process(t, ["a"]), [duplicate('"kept"')]);
    },
    ["joinTransaction"],
  ),

  rule("inbox: what was processed 35 days ago is forgotten, and nothing before that", async (t) => {
    const ids = Array.from({ length: 2_500 }, (_, n) => `id-${n}`);
    await process(t, ids);
    advance(t, 34.9 * DAY_MS);
    await t.storage.upkeep.maintain();
    deepEqual(await process(t, ["id-0"]), [duplicate("0")]);
    advance(t, 0.2 * DAY_MS);
    await process(t, ["late"]);
    await t.storage.upkeep.maintain();
    deepEqual(await process(t, ["id-0", "id-2499", "late"]), [fresh("0"), fresh("1"), duplicate("0")]);
  }),
];

/** An event to be published. */
export function toEvent(eventId: string): OutboxRow {
  return {
    eventId,
    topic: "orders",
    key: "k",
    shard: shardOf("k", OUTBOX_SHARDS),
    type: "order.placed",
    source: "/orders",
    aggregateType: null,
    aggregateId: null,
    correlationId: null,
    sagaId: null,
    traceparent: null,
    headers: null,
    payload: "{}",
  };
}
