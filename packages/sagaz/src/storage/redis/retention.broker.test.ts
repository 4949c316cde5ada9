import { Redis } from "ioredis";
import { expect, inject, onTestFinished, test } from "vitest";
import { removeAll } from "../../../../../tests/engine/redis-keys.ts";
import { FakeClock } from "../../testing/index.ts";
import type { StorageUnderTest } from "../../testing/index.ts";
import {
  append,
  begin,
  register,
  released,
  toEntry,
  toKeyed,
  toMail,
  toStart,
} from "../../testing/conformance/storage/material.ts";
import { toEvent } from "../../testing/conformance/storage/outbox-material.ts";
import { RedisStorage, type RedisStorageOptions } from "./index.ts";

const dayMs = 86_400_000;

async function open(skip: (reason: string) => never, options: Partial<RedisStorageOptions>) {
  const server = inject("redis");
  if ("missing" in server) return skip(server.missing);
  const redis = new Redis(server.url);
  const name = `retention-${crypto.randomUUID()}`;
  const clock = new FakeClock();
  const start = async (own: Partial<RedisStorageOptions>) => {
    const storage = new RedisStorage({ client: redis, name, now: () => clock.now(), ...own });
    await storage.start();
    onTestFinished(() => storage.stop());
    return storage;
  };
  onTestFinished(async () => {
    await removeAll(redis, name);
    redis.disconnect();
  });
  const storage = await start(options);
  const t: StorageUnderTest = {
    storage,
    another: async () => storage,
    now: () => clock.now(),
    setNow: (ms) => clock.setNow(ms),
    close: async () => {},
  };
  const keys = async () => (await redis.keys(`{${name}:0}:*`)).map((key) => key.slice(name.length + 5));
  return { t, start, keys, pass: (days: number) => clock.setNow(clock.now() + days * dayMs) };
}

const done = released(null, { status: "completed", waitingFor: null, finished: true, output: "1" });

test("sagas that have ended leave after their days, with all that they were found by; others stay", async ({
  skip,
}) => {
  const { t, keys, pass } = await open(skip, { endedKeptDays: 30 });
  const { storage } = t;
  const epoch = await register(storage, { leaseMs: 1_000 * dayMs });
  const before = await keys();
  const fields = { tenantId: "acme", correlationId: "c-\ud800", attributes: '{"a":"\\ud800"}' };
  const keyed = toKeyed(t, "k", { ...fields, wakeAt: null });
  await storage.journal.startKeyed(epoch, [keyed]);
  const ended = await Promise.all(
    Array.from({ length: 250 }, () => begin(t, epoch, { start: toStart(t, fields) })),
  );
  ended.push(keyed.sagaId);
  const mail = toMail(keyed.sagaId);
  await storage.mailbox.send(mail);
  const readOne = { ...done, release: { wakeAt: null, mailSeq: 1 } };
  const last = ended.map((id) => toEntry(id, 2, { row: readOne, readMails: [mail.mailId] }));
  await append({ storage, epoch }, ...last);
  const known = { ...fields, correlationId: null };
  const parent = await begin(t, epoch, { start: toStart(t, known) });
  const child = await begin(t, epoch, { start: toStart(t, { ...known, parentId: parent }) });
  const written = await begin(t, epoch, { start: toStart(t, known) });
  const bodies = [child, written].map((id) => toEntry(id, 2, { row: done }));
  await append({ storage, epoch }, ...bodies);
  await storage.mailbox.send(toMail(written));

  pass(30);
  await storage.upkeep.maintain();
  expect((await storage.queries.list({ tenantId: "acme", limit: 1_000 })).sagas).toHaveLength(254);
  pass(1);
  await storage.upkeep.maintain();
  const left = (await storage.queries.list({ tenantId: "acme", limit: 1_000 })).sagas;
  // A parent that runs, its child, and one that has unread mail.
  expect(left.map(({ sagaId }) => sagaId).sort()).toEqual([parent, child, written].sort());
  expect(await storage.queries.journalled({ after: undefined, limit: 10 })).toEqual([parent, child, written]);
  expect(await storage.queries.journal(keyed.sagaId)).toEqual([]);
  // Its key is free.
  const again = toKeyed(t, "k", { sagaId: toStart(t).sagaId });
  expect(await storage.journal.startKeyed(epoch, [again])).toMatchObject([{ kind: "started" }]);

  const mails = await storage.mailbox.fetch(epoch, 10);
  expect(mails).toEqual([]); // nobody owns it
  const [claimed] = await storage.leases.claim({
    epoch,
    limit: 10,
    definitions: [{ sagaName: "order", version: 1 }],
    sagaId: written,
  });
  const [unread] = await storage.mailbox.fetch(epoch, 10);
  const read = [unread?.mailId ?? ""];
  const mailSeq = claimed?.mailSeq ?? 0;
  const given = { ...done, release: { wakeAt: null, mailSeq } };
  await append({ storage, epoch }, toEntry(written, 3, { events: [], row: given, readMails: read }));
  await append(
    { storage, epoch },
    toEntry(parent, 2, { row: done }),
    toEntry(again.sagaId, 2, { row: done }),
  );
  pass(31);
  await storage.upkeep.maintain();
  await storage.upkeep.maintain(); // a child may have been looked at before its parent
  const after = (await keys()).filter((key) => !before.includes(key) && !key.startsWith("line:"));
  expect(after.sort()).toEqual(["endings", "latest", "unfinished"]);
});

test("unless it is said otherwise, they stay for a year", async ({ skip }) => {
  const { t, pass } = await open(skip, {});
  const epoch = await register(t.storage, { leaseMs: 100_000 * dayMs });
  const sagaId = await begin(t, epoch);
  await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: done }));
  pass(366);
  await t.storage.upkeep.maintain();
  expect(await t.storage.queries.find(sagaId)).toMatchObject({ status: "completed" });
  pass(1);
  await t.storage.upkeep.maintain();
  expect(await t.storage.queries.find(sagaId)).toBeUndefined();
});

test("what one process sets holds for those that set nothing, a relay beside the application say", async ({
  skip,
}) => {
  const { t, start, pass } = await open(skip, { endedKeptDays: 1_000 });
  const epoch = await register(t.storage, { leaseMs: 100_000 * dayMs });
  const sagaId = await begin(t, epoch);
  await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { row: done }));
  const relay = await start({});
  pass(900);
  await relay.upkeep.maintain();
  expect(await relay.queries.find(sagaId)).toBeDefined();
  await start({ endedKeptDays: 800 });
  await relay.upkeep.maintain();
  expect(await relay.queries.find(sagaId)).toBeUndefined();
});

test("dead letters that were redriven leave as well; open ones stay", async ({ skip }) => {
  const { t, pass, keys } = await open(skip, { endedKeptDays: 1 });
  const { deadLetters, upkeep } = t.storage;
  const about = { createdAt: t.now(), attempts: 1, code: "SAGAZ_HANDLER_FAILED", error: "no", stack: null };
  for (const key of ["a", "b"])
    await deadLetters.bury({ consumerName: "c", event: toEvent(t, key), ...about });
  const [first, second] = (await deadLetters.list({ limit: 10 })).letters;
  await deadLetters.redrive({ ids: [first?.id ?? 0], actor: "ann" });
  pass(1);
  await upkeep.maintain();
  expect((await deadLetters.list({ limit: 10 })).letters).toHaveLength(2);
  pass(1);
  await upkeep.maintain();
  expect((await deadLetters.list({ limit: 10 })).letters.map(({ id }) => id)).toEqual([second?.id]);
  expect((await keys()).filter((key) => key.startsWith("letter:"))).toHaveLength(1);
});

test("what consumers and trackers remember takes no memory after 35 days", async ({ skip }) => {
  const { t, keys, pass } = await open(skip, {});
  const messages = Array.from({ length: 1_200 }, (_, n) => ({
    eventId: `e-\u0000-${n}`,
    sourceTopic: "orders",
    eventType: "order.placed",
  }));
  const idleMsMax = 60_000;
  await t.storage.inbox.process({ consumerName: "b:1", messages, idleMsMax }, async () =>
    messages.map(() => null),
  );
  const isKept = async () => (await keys()).some((key) => /^(inbox:|processed$|lock:)/.test(key));
  pass(35);
  await t.storage.upkeep.maintain();
  expect(await isKept()).toBe(true);
  pass(1);
  await t.storage.upkeep.maintain();
  expect(await isKept()).toBe(false);
});
