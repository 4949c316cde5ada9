import { deepEqual, equal, ok } from "node:assert/strict";
import { given } from "../given.ts";
import { advance, append, toStart, toStartEntry } from "./material.ts";
import { idsOf, publish, relay, settle, take, toEvent } from "./outbox-material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** Events that relays leave alone for a while, for somebody who knows of their commit to send them. */
export const heldEventRules: readonly StorageRule[] = [
  rule(
    "outbox: held events wait for who knows of their commit, and are the relays' after that",
    async (t) => {
      const epoch = await relay(t);
      const batch = {
        epoch,
        entries: [toStartEntry(toStart(t), { outbox: ["a", "b"].map((key) => toEvent(t, key)) })],
      };
      const { added, at } = await t.storage.journal.append({ ...batch, holdMs: 2_000 });
      const events = await take(t, epoch);
      deepEqual(
        given(added).map(({ id, createdAt }) => ({ id, createdAt })),
        idsOf(events).map((id) => ({ id, createdAt: at })),
      );
      deepEqual(
        events.map(({ waitMs }) => waitMs),
        [2_000, 2_000],
      );
      advance(t, 2_000);
      deepEqual(
        (await take(t, epoch)).map(({ waitMs }) => waitMs),
        [0, 0],
      );
      const { added: none } = await append({ storage: t.storage, epoch }, toStartEntry(toStart(t)));
      equal(none, undefined);
    },
  ),

  rule(
    "outbox: held events that were sent are pending no more, and others are released at once",
    async (t) => {
      const epoch = await relay(t);
      const keys = ["a", "b", "c", "d"];
      const entry = toStartEntry(toStart(t), { outbox: keys.map((key) => toEvent(t, key)) });
      const { added } = await t.storage.journal.append({ epoch, entries: [entry], holdMs: 2_000 });
      const [a, b, c] = given(added).map(({ id }) => id);
      // What a relay has tried already is not put before its time.
      await settle(t, { epoch, failed: [{ id: given(c), attempts: 1, delayMs: 60_000, error: "no" }] });
      const held = { sent: [given(a)], released: [given(b), given(c), 999_999] };
      await t.storage.outbox.settleHeld(held);
      await t.storage.outbox.settleHeld(held);
      deepEqual(
        (await take(t, epoch)).map(({ key, waitMs }) => [key, waitMs]),
        [
          ["b", 0],
          ["c", 60_000],
          ["d", 2_000],
        ],
      );
    },
  ),

  rule("outbox: held events that wait behind others of their key are told", async (t) => {
    const epoch = await relay(t);
    await publish(
      t,
      epoch,
      ["a", "b"].map((key) => toEvent(t, key)),
    );
    const keys = ["a", "c", "c", "a", "d"];
    const entry = toStartEntry(toStart(t), { outbox: keys.map((key) => toEvent(t, key)) });
    const { added } = await t.storage.journal.append({ epoch, entries: [entry], holdMs: 2_000 });
    const held = given(added).map(({ id }, n) => ({ id, key: given(keys[n]) }));
    const look = async (events = held) =>
      [...(await t.storage.outbox.behindOthers(events))].sort((x, y) => x - y);
    deepEqual(await look(), [given(held[0]).id, given(held[3]).id]);
    // What is told with the write may be more, never less.
    const free = given(added).filter(({ isFree }) => isFree);
    for (const { id } of free) ok(!(await look()).includes(id));
    deepEqual(await look(held.slice(1)), [given(held[3]).id]);
    const [first] = await take(t, epoch);
    await settle(t, { epoch, sent: [given(first).id] });
    deepEqual(await look(), []);
    deepEqual(await look(held.slice(2)), [given(held[2]).id, given(held[3]).id]);
    deepEqual(await look([]), []);
    // Later events hold nobody up.
    await publish(t, epoch, [toEvent(t, "d")]);
    deepEqual(await look(held.slice(4)), []);
  }),
];
