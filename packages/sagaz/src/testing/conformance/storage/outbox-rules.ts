import { deepEqual, equal, ok } from "node:assert/strict";
import { OUTBOX_SHARDS, shardOf } from "../../../core/delivery/shard.ts";
import { given } from "../given.ts";
import {
  advance,
  append,
  begin,
  fence,
  LEASE_MS,
  register,
  throws,
  toEntry,
  toStartEntry,
  toStart,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";
import {
  ALL_SHARDS,
  idsOf,
  keysOf,
  publish,
  relay,
  settle,
  take,
  takeSome,
  toEvent,
} from "./outbox-material.ts";

/** Events that wait to be published: written with what they report, taken in order, settled once. */
export const outboxRules: readonly StorageRule[] = [
  rule("outbox: an event is pending once its entry is recorded, and comes back as it was", async (t) => {
    const epoch = await relay(t);
    const full = toEvent(t, "kéy 🔑");
    const bare = toEvent(t, "k", {
      aggregateType: null,
      aggregateId: null,
      correlationId: null,
      sagaId: null,
      traceparent: null,
      headers: null,
      payload: "",
    });
    const bytes = toEvent(t, "k", { payload: Uint8Array.from({ length: 256 }, (_, n) => n) });
    const before = t.now();
    await publish(t, epoch, [full, bare, bytes]);
    const events = await take(t, epoch);
    for (const [n, sent] of [full, bare, bytes].entries()) {
      const { id, createdAt, attempts, waitMs, payload, ...rest } = given(events[n]);
      const { payload: sentPayload, ...sentRest } = sent;
      deepEqual(rest, sentRest);
      deepEqual(Buffer.from(payload), Buffer.from(sentPayload));
      deepEqual({ attempts, waitMs }, { attempts: 0, waitMs: 0 });
      ok(Number.isSafeInteger(id));
      equal(createdAt, before);
    }
    equal(events.length, 3);
  }),

  rule("outbox: a batch that is refused leaves no event", async (t) => {
    const epoch = await relay(t);
    const sagaId = await begin(t, epoch);
    const wrong = toEntry(sagaId, 7, { outbox: [toEvent(t, "k")] });
    await throws("SAGAZ_CONFLICT", () => append({ storage: t.storage, epoch }, wrong));
    deepEqual(await take(t, epoch), []);
  }),

  rule("outbox: a fenced worker's events are not written", async (t) => {
    const old = await register(t.storage);
    const sagaId = await begin(t, old);
    await fence(t, []);
    const late = toEntry(sagaId, 2, { outbox: [toEvent(t, "k")] });
    await throws("SAGAZ_FENCED", () => append({ storage: t.storage, epoch: old }, late));
    deepEqual(await take(t, await relay(t)), []);
  }),

  rule("outbox: events of a batch are taken in its order, and page by page", async (t) => {
    const epoch = await relay(t);
    const keys = Array.from({ length: 25 }, (_, n) => `key-${n % 7}-${n}`);
    const entries = keys.map((key) => toStartEntry(toStart(t), { outbox: [toEvent(t, key)] }));
    await t.storage.journal.append({ epoch, entries });
    const first = await take(t, epoch, { limit: 10 });
    deepEqual(keysOf(first), keys.slice(0, 10));
    const second = await take(t, epoch, { limit: 10, inFlight: first });
    deepEqual(keysOf(second), keys.slice(10, 20));
    const third = await take(t, epoch, { inFlight: [...first, ...second] });
    deepEqual(keysOf(third), keys.slice(20));
    // What is in flight no more, and was not settled, comes first again.
    deepEqual(keysOf(await take(t, epoch, { inFlight: second })), [...keys.slice(0, 10), ...keys.slice(20)]);
  }),

  rule("outbox: large events are taken a few at a time, one at least, and small ones all", async (t) => {
    const epoch = await relay(t);
    const payload = JSON.stringify("x".repeat(10_000));
    const bytes = Uint8Array.from({ length: 10_000 }, (_, n) => n % 256);
    const keys = ["a", "b", "c", "d"];
    await publish(
      t,
      epoch,
      keys.map((key, n) => toEvent(t, key, { payload: n % 2 === 0 ? payload : bytes })),
    );
    const first = await takeSome(t, epoch, { bytesMax: 10_000 });
    deepEqual([keysOf(first.events), first.isAll], [["a"], false]);
    // What is in flight takes none of the room, whether it is read again or not.
    const second = await takeSome(t, epoch, { again: undefined, inFlight: first.events, bytesMax: 15_000 });
    deepEqual([keysOf(second.events), second.isAll], [["b", "c"], false]);
    const third = await takeSome(t, epoch, { inFlight: [...first.events, ...second.events], bytesMax: 1 });
    deepEqual(keysOf(third.events), ["d"]);
    const held = await takeSome(t, epoch, { held: ["a", "b"], bytesMax: 60_000 });
    deepEqual([keysOf(held.events), held.isAll], [["c", "d"], true]);
    const all = await takeSome(t, epoch);
    deepEqual([keysOf(all.events), all.isAll], [keys, true]);
  }),

  rule("outbox: only what is of the shards that are asked for is taken", async (t) => {
    const epoch = await relay(t);
    const keys = Array.from({ length: 60 }, (_, n) => `key-${n}`);
    await publish(
      t,
      epoch,
      keys.map((key) => toEvent(t, key)),
    );
    for (const shards of [[0], [63], [1, 5, 31, 32, 62, 63], []]) {
      const wanted = keys.filter((key) => shards.includes(shardOf(key, OUTBOX_SHARDS)));
      deepEqual(keysOf(await take(t, epoch, { shards })), wanted);
    }
    // The same epoch, all shards again.
    deepEqual(keysOf(await take(t, epoch)), keys);
  }),

  rule("outbox: events of held keys are left out, and come back when the key is held no more", async (t) => {
    const epoch = await relay(t);
    await publish(
      t,
      epoch,
      ["a", "b", "a", "c"].map((key) => toEvent(t, key)),
    );
    for (let n = 0; n < 3; n++) deepEqual(keysOf(await take(t, epoch, { held: ["a"] })), ["b", "c"]);
    await settle(t, { epoch, sent: idsOf(await take(t, epoch, { held: ["a"] })) });
    deepEqual(keysOf(await take(t, epoch, { held: ["a"] })), []);
    deepEqual(keysOf(await take(t, epoch)), ["a", "a"]);
  }),

  rule("outbox: what is sent is pending no more, also when it is said twice", async (t) => {
    const epoch = await relay(t);
    await publish(
      t,
      epoch,
      ["a", "b", "c"].map((key) => toEvent(t, key)),
    );
    const events = await take(t, epoch);
    await settle(t, { epoch, sent: idsOf(events).slice(0, 2) });
    await settle(t, { epoch, sent: idsOf(events).slice(0, 2) });
    deepEqual(keysOf(await take(t, epoch)), ["c"]);
    equal((await t.storage.outbox.backlog()).pending, 1);
  }),

  rule(
    "outbox: what failed waits, with all that is known of it, and is taken again after its delay",
    async (t) => {
      const epoch = await relay(t);
      await publish(t, epoch, [toEvent(t, "a")]);
      const [event] = await take(t, epoch);
      const failed = { id: given(event).id, attempts: 3, delayMs: 2_000, error: "too large" };
      await settle(t, { epoch, failed: [failed] });
      await settle(t, { epoch, failed: [failed] });
      const [waiting] = await take(t, epoch);
      deepEqual([waiting?.attempts, waiting?.waitMs], [3, 2_000]);
      advance(t, 1_999);
      equal((await take(t, epoch))[0]?.waitMs, 1);
      advance(t, 1);
      equal((await take(t, epoch))[0]?.waitMs, 0);
    },
  ),

  rule("outbox: what is dead is pending no more and counted, once", async (t) => {
    const epoch = await relay(t);
    await publish(
      t,
      epoch,
      ["a", "b"].map((key) => toEvent(t, key)),
    );
    const [event] = await take(t, epoch);
    const dead = { id: given(event).id, attempts: 5, code: "SAGAZ_MESSAGE_REFUSED", error: "too large" };
    await settle(t, { epoch, dead: [dead] });
    await settle(t, { epoch, dead: [dead] });
    deepEqual(keysOf(await take(t, epoch)), ["b"]);
    const { pending, dead: count } = await t.storage.outbox.backlog();
    deepEqual({ pending, count }, { pending: 1, count: 1 });
  }),

  rule("outbox: what is settled at once is settled together, or not at all by a fenced relay", async (t) => {
    const old = await relay(t);
    await publish(
      t,
      old,
      ["a", "b", "c"].map((key) => toEvent(t, key)),
    );
    const [a, b, c] = await take(t, old);
    await fence(t, []);
    const late = {
      epoch: old,
      sent: [given(a).id],
      failed: [{ id: given(b).id, attempts: 1, delayMs: 1_000, error: "x" }],
      dead: [{ id: given(c).id, attempts: 1, code: "SAGAZ_MESSAGE_REFUSED", error: "x" }],
    };
    await throws("SAGAZ_FENCED", () => settle(t, late));
    const epoch = await relay(t);
    deepEqual(
      (await take(t, epoch)).map(({ key, attempts, waitMs }) => [key, attempts, waitMs]),
      [
        ["a", 0, 0],
        ["b", 0, 0],
        ["c", 0, 0],
      ],
    );
    await settle(t, { ...late, epoch });
    deepEqual(
      (await take(t, epoch)).map(({ key, attempts }) => [key, attempts]),
      [["b", 1]],
    );
  }),

  rule("outbox: the backlog tells how much waits, and since when", async (t) => {
    const epoch = await relay(t);
    deepEqual(await t.storage.outbox.backlog(), { pending: 0, oldestAt: null, dead: 0 });
    await publish(t, epoch, [toEvent(t, "a"), toEvent(t, "b")]);
    const [oldest] = await take(t, epoch);
    deepEqual(await t.storage.outbox.backlog(), { pending: 2, oldestAt: given(oldest).createdAt, dead: 0 });
  }),

  rule("outbox: shards are shared between relays, and none is held by two", async (t) => {
    const other = await t.another();
    const one = await register(t.storage);
    deepEqual(await t.storage.outbox.balance(one), { shards: ALL_SHARDS, share: 64 });
    const two = await register(other);
    deepEqual(await other.outbox.balance(two), { shards: [], share: 32 });
    const { shards, share } = await t.storage.outbox.balance(one);
    deepEqual([shards.length, share], [64, 32]);
    await t.storage.outbox.release({ epoch: one, shards: shards.slice(32) });
    deepEqual(await other.outbox.balance(two), { shards: shards.slice(32), share: 32 });
    deepEqual(await t.storage.outbox.balance(one), { shards: shards.slice(0, 32), share: 32 });
    // What is another's cannot be given back.
    await t.storage.outbox.release({ epoch: one, shards: shards.slice(40) });
    deepEqual(await other.outbox.balance(two), { shards: shards.slice(32), share: 32 });
    const three = await register(other);
    deepEqual(await other.outbox.balance(three), { shards: [], share: 22 });
  }),

  rule(
    "outbox: the shards of a relay that is gone are free, and others hear of them by asking",
    async (t) => {
      const other = await t.another();
      const [one, two, three] = [await register(t.storage), await register(other), await register(other)];
      await t.storage.outbox.balance(one);
      await other.outbox.balance(two);
      await t.storage.leases.retire(one);
      deepEqual(await other.outbox.balance(two), { shards: ALL_SHARDS, share: 64 });
      advance(t, LEASE_MS + 1);
      await other.leases.beat(three);
      await other.leases.fenceExpired();
      deepEqual(await other.outbox.balance(three), { shards: ALL_SHARDS, share: 64 });
      await throws("SAGAZ_FENCED", () => other.outbox.balance(two));
    },
  ),

  rule("outbox: a worker that does not relay has no share", async (t) => {
    const worker = await register(t.storage);
    const epoch = await register(t.storage);
    deepEqual(await t.storage.outbox.balance(epoch), { shards: ALL_SHARDS, share: 64 });
    await t.storage.leases.retire(worker);
  }),

  rule(
    "outbox: events that are added in the caller's transaction exist if and only if it commits",
    async (t) => {
      const epoch = await relay(t);
      const lost = await given(t.begin)();
      await t.storage.outbox.addIn(lost.tx, [toEvent(t, "lost")]);
      await lost.rollback();
      const kept = await given(t.begin)();
      const events = Array.from({ length: 1_500 }, (_, n) => toEvent(t, `kept-${n}`));
      await t.storage.outbox.addIn(kept.tx, events);
      await t.storage.outbox.addIn(kept.tx, []);
      deepEqual(await take(t, epoch), []);
      await kept.commit();
      const taken = await take(t, epoch, { limit: 2_000 });
      deepEqual(
        keysOf(taken),
        events.map(({ key }) => key),
      );
      deepEqual(taken[0]?.headers, events[0]?.headers);
    },
    ["joinTransaction"],
  ),

  rule(
    "outbox: what commits late is taken, and before what was written after it in its key",
    async (t) => {
      const epoch = await relay(t);
      const late = await given(t.begin)();
      await t.storage.outbox.addIn(late.tx, [toEvent(t, "k", { type: "first" })]);
      for (let n = 0; n < 3; n++) {
        await publish(t, epoch, [toEvent(t, "other")]);
        const events = await take(t, epoch, { again: undefined });
        deepEqual(keysOf(events), ["other"]);
        await settle(t, { epoch, sent: idsOf(events) });
      }
      await late.commit();
      await publish(t, epoch, [toEvent(t, "k", { type: "second" })]);
      const events = await take(t, epoch, { again: undefined });
      deepEqual(
        events.map(({ type }) => type),
        ["first", "second"],
      );
    },
    ["joinTransaction"],
  ),
];
