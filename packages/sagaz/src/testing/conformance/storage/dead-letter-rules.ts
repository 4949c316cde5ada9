import { deepEqual, equal } from "node:assert/strict";
import type { ConsumersDeadLetter, DeadLetter } from "../../../ports/dead-letters.ts";
import { given } from "../given.ts";
import { toEvent } from "./inbox-rules.ts";
import { append, register, toStart, toStartEntry } from "./material.ts";
import { take } from "./outbox-material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule, StorageUnderTest } from "./storage-rule.ts";

function toLetter(t: StorageUnderTest, eventId: string, consumerName = "billing"): ConsumersDeadLetter {
  return {
    consumerName,
    event: toEvent(eventId),
    createdAt: t.now() - 1_000,
    attempts: 5,
    code: "SAGAZ_HANDLER_FAILED",
    error: "größer → 🎉",
    stack: "at …",
  };
}

async function list(t: StorageUnderTest): Promise<readonly DeadLetter[]> {
  return (await t.storage.deadLetters.list({ limit: 100 })).letters;
}

const waiting = (t: StorageUnderTest) => take(t, 0);

const namesOf = (letters: readonly DeadLetter[]) => letters.map(({ event }) => event.eventId);

/** What could not be published or processed is kept with its reason, and goes out again once it is wanted. */
export const deadLetterRules: readonly StorageRule[] = [
  rule("dead letters: a message that a consumer gave up comes back as it was", async (t) => {
    const letter = toLetter(t, "a");
    await t.storage.deadLetters.bury(letter);
    const [one] = await list(t);
    const { id, ...kept } = given(one);
    equal(typeof id, "number");
    deepEqual(kept, { ...letter, diedAt: t.now(), redrivenAt: null, redrivenBy: null });
    equal((await t.storage.outbox.backlog()).dead, 1);
  }),

  rule(
    "dead letters: a message is one once for each consumer, as long as nobody has redriven it",
    async (t) => {
      await t.storage.deadLetters.bury(toLetter(t, "a"));
      await t.storage.deadLetters.bury(toLetter(t, "a"));
      await t.storage.deadLetters.bury(toLetter(t, "a", "shipping"));
      const [first] = await list(t);
      equal((await list(t)).length, 2);
      await t.storage.deadLetters.redrive({ ids: [given(first).id], actor: "ann" });
      await t.storage.deadLetters.bury(toLetter(t, "a"));
      equal((await list(t)).length, 3);
    },
  ),

  rule(
    "dead letters: an event that no broker would have is one, with what the outbox knew of it",
    async (t) => {
      const epoch = await register(t.storage);
      const event = { ...toEvent("a"), payload: Uint8Array.of(0, 1, 255), headers: '{"note":"x"}' };
      await append({ storage: t.storage, epoch }, toStartEntry(toStart(t), { outbox: [event] }));
      const [pending] = await waiting(t);
      const dead = { id: given(pending).id, attempts: 7, code: "SAGAZ_MESSAGE_REFUSED", error: "too large" };
      await t.storage.outbox.settle({ epoch, sent: [], failed: [], dead: [dead] });
      const [letter] = await list(t);
      const { event: kept, consumerName, attempts, code, error, stack, createdAt } = given(letter);
      deepEqual({ ...kept, payload: [...Buffer.from(kept.payload)] }, { ...event, payload: [0, 1, 255] });
      deepEqual(
        { consumerName, attempts, code, error, stack, createdAt },
        {
          consumerName: null,
          attempts: 7,
          code: dead.code,
          error: "too large",
          stack: null,
          createdAt: t.now(),
        },
      );
    },
  ),

  rule("dead letters: texts that no database keeps are kept all the same", async (t) => {
    const strange = "nul \0 half \ud800";
    await t.storage.deadLetters.bury({ ...toLetter(t, "a"), error: strange, stack: strange });
    equal((await list(t)).length, 1);
  }),

  rule("dead letters: pages bring each once, oldest first, and only what is asked for", async (t) => {
    const names = Array.from({ length: 7 }, (_, n) => `event-${n}`);
    for (const [n, name] of names.entries())
      await t.storage.deadLetters.bury(toLetter(t, name, n % 2 === 0 ? "billing" : "shipping"));
    const seen: string[] = [];
    let after: number | undefined;
    do {
      const page = await t.storage.deadLetters.list({ limit: 3, ...(after === undefined ? {} : { after }) });
      seen.push(...namesOf(page.letters));
      after = page.next;
    } while (after !== undefined);
    deepEqual(seen, names);
    const find = async (filter: object) =>
      namesOf((await t.storage.deadLetters.list({ limit: 100, ...filter })).letters);
    deepEqual(await find({ consumerName: "shipping" }), ["event-1", "event-3", "event-5"]);
    deepEqual(await find({ consumerName: null }), []);
    deepEqual(await find({ topic: "orders" }), names);
    deepEqual(await find({ topic: "other" }), []);
    const [first] = await list(t);
    await t.storage.deadLetters.redrive({ ids: [given(first).id], actor: "ann" });
    deepEqual(await find({ open: false }), ["event-0"]);
    deepEqual(await find({ open: true }), names.slice(1));
  }),

  rule("dead letters: what is redriven is pending again, marked, and once, whoever asks", async (t) => {
    const other = await t.another();
    for (const name of ["a", "b", "c"]) await t.storage.deadLetters.bury(toLetter(t, name));
    const ids = (await list(t)).map(({ id }) => id);
    const request = { ids: [...ids.slice(0, 2), 999_999], actor: "ann" };
    const asked = [t.storage, other, t.storage].map((storage) => storage.deadLetters.redrive(request));
    deepEqual((await Promise.all(asked)).flat(), ids.slice(0, 2));
    const events = await waiting(t);
    deepEqual(
      events.map(({ eventId, key, shard, headers, attempts }) => ({
        eventId,
        key,
        shard,
        headers,
        attempts,
      })),
      ["a", "b"].map((eventId) => ({
        eventId,
        key: "k",
        shard: toEvent("a").shard,
        headers: '{"sagaz-redriven":"true","sagaz-redriven-for":"billing"}',
        attempts: 0,
      })),
    );
    const [first, , third] = await list(t);
    deepEqual([first?.redrivenBy, first?.redrivenAt], ["ann", t.now()]);
    deepEqual([third?.redrivenBy, third?.redrivenAt], [null, null]);
    deepEqual(await t.storage.deadLetters.redrive({ ids: [], actor: "ann" }), []);
  }),
];
