import { expect, onTestFinished, test } from "vitest";
import { isSagaError } from "../../core/errors.ts";
import {
  afterOutage,
  codeFrom,
  open,
  ownServer,
  plain,
  storageAt,
} from "../../../../../tests/engine/own-redis.ts";
import { startFaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import {
  append,
  begin,
  codeOf,
  event,
  register,
  toEntry,
  toStart,
  toStartEntry,
} from "../../testing/conformance/storage/material.ts";
import { publish, settle, take, toEvent } from "../../testing/conformance/storage/outbox-material.ts";

test("with appendfsync always, nothing that was acknowledged is lost when Redis is killed", async ({
  skip,
}) => {
  const server = await ownServer(skip, { appendfsync: "always" });
  const t = await open(server.url);
  const epoch = await register(t.storage, { leaseMs: 600_000 });
  const acknowledged = new Map<string, number>();
  const doubtful = new Set<string>();
  const write = async (sagaId: string, seq: number) => {
    try {
      const entry = seq === 1 ? toStartEntry(toStart(t, { sagaId })) : toEntry(sagaId, seq);
      await append({ storage: t.storage, epoch }, entry);
      acknowledged.set(sagaId, seq);
      return true;
    } catch (error) {
      if (codeOf(error) === "SAGAZ_COMMIT_IN_DOUBT") doubtful.add(sagaId);
      return false;
    }
  };
  const writers = Array.from({ length: 30 }, async () => {
    for (;;) {
      const { sagaId } = toStart(t);
      for (let seq = 1; seq <= 4; seq++) if (!(await write(sagaId, seq))) return;
    }
  });
  await waitUntil("there is something to lose", () => acknowledged.size > 300 || undefined);
  await server.kill();
  await Promise.all(writers);
  await server.restart();
  const ids = [...new Set([...acknowledged.keys(), ...doubtful])];
  const tails = await afterOutage("it is back", () => t.storage.journal.tails(ids));
  const seqs = new Map(tails.map(({ sagaId, seq }) => [sagaId, seq]));
  for (const [sagaId, seq] of acknowledged) {
    const found = seqs.get(sagaId) ?? 0;
    // What was in doubt is there, or it is not; nothing else is.
    expect(found).toBeGreaterThanOrEqual(seq);
    expect(found).toBeLessThanOrEqual(seq + (doubtful.has(sagaId) ? 1 : 0));
  }
  const [sagaId = "", seq = 0] = [...acknowledged].at(-1) ?? [];
  await append({ storage: t.storage, epoch }, toEntry(sagaId, (seqs.get(sagaId) ?? seq) + 1));
});

test("a write whose answer is lost is in doubt, and found; while there is no connection, nothing is written", async ({
  skip,
}) => {
  const server = await ownServer(skip);
  const proxy = await startFaultProxy(server.url);
  onTestFinished(() => proxy.stop());
  const t = await open(proxy.through(server.url));
  const epoch = await register(t.storage);
  const sagaId = await begin(t, epoch);
  const write = (seq: number) => codeFrom(append({ storage: t.storage, epoch }, toEntry(sagaId, seq)));
  const hit = proxy.dropRepliesOnce(sagaId);
  expect(await write(2)).toBe("SAGAZ_COMMIT_IN_DOUBT");
  await hit;
  const tails = () => t.storage.journal.tails([sagaId]);
  expect(await afterOutage("it is connected again", tails)).toEqual([{ sagaId, seq: 2, owner: epoch }]);
  const missed = proxy.dropRequestsOnce(sagaId);
  expect(await write(3)).toBe("SAGAZ_COMMIT_IN_DOUBT");
  await missed;
  expect(await afterOutage("it is connected again", tails)).toEqual([{ sagaId, seq: 2, owner: epoch }]);
  proxy.cut();
  await waitUntil("the loss is noticed", async () => (await write(3)) === "SAGAZ_STORAGE_UNAVAILABLE");
  proxy.heal();
  await afterOutage("it is connected again", () => append({ storage: t.storage, epoch }, toEntry(sagaId, 3)));
});

test("what arrives late, by a connection that was given up, is not written", async ({ skip }) => {
  const server = await ownServer(skip);
  const redis = plain(server.url);
  const t = await open(server.url);
  const epoch = await register(t.storage);
  const sagaId = await begin(t, epoch);
  // As the next connection of this process does before it looks what became of a write in doubt.
  const [line = ""] = await redis.keys("{sagaz:0}:line:*");
  await redis.set(line, 2);
  expect(await codeFrom(append({ storage: t.storage, epoch }, toEntry(sagaId, 2)))).toBe(
    "SAGAZ_STORAGE_UNAVAILABLE",
  );
  expect(await t.storage.journal.tails([sagaId])).toEqual([{ sagaId, seq: 1, owner: epoch }]);
});

test("a server that has frozen is an outage, and not for ever", async ({ skip }) => {
  const server = await ownServer(skip);
  const t = await open(server.url, { answerTimeoutMs: 300 });
  const epoch = await register(t.storage, { leaseMs: 600_000 });
  const sagaId = await begin(t, epoch);
  await server.pause();
  expect(await codeFrom(append({ storage: t.storage, epoch }, toEntry(sagaId, 2)))).toBe(
    "SAGAZ_COMMIT_IN_DOUBT",
  );
  await server.resume();
  const [tail] = await afterOutage("it is back", () => t.storage.journal.tails([sagaId]));
  await append({ storage: t.storage, epoch }, toEntry(sagaId, (tail?.seq ?? 0) + 1));
});

test("a replica takes no writes; what it lacks after a failover is seen, and the rest goes on", async ({
  skip,
}) => {
  const [primary, replica] = [await ownServer(skip), await ownServer(skip)];
  const second = plain(replica.url);
  await second.replicaof("127.0.0.1", primary.port);
  const t = await open(primary.url);
  const epoch = await register(t.storage, { leaseMs: 600_000 });
  const sagaId = await begin(t, epoch);
  const reaches = async (seq: number) =>
    (await second.llen(`{sagaz:0}:journal:${sagaId}`).catch(() => 0)) === seq + 1; // behind its row's fixed part
  await waitUntil("the replica has it", () => reaches(1));
  expect(await codeFrom(storageAt(replica.url).start())).toBe("SAGAZ_STORAGE_READ_ONLY");
  // The line between them is cut, and the primary goes on alone for a while.
  await second.replicaof("NO", "ONE");
  await append({ storage: t.storage, epoch }, toEntry(sagaId, 2));
  // Now the other one is the primary, and what it never got is gone.
  await plain(primary.url).replicaof("127.0.0.1", replica.port);
  expect(await codeFrom(append({ storage: t.storage, epoch }, toEntry(sagaId, 3)))).toBe(
    "SAGAZ_STORAGE_READ_ONLY",
  );
  const after = await open(replica.url);
  expect(await after.storage.journal.tails([sagaId])).toEqual([{ sagaId, seq: 1, owner: epoch }]);
  expect(await codeFrom(append({ storage: after.storage, epoch }, toEntry(sagaId, 3)))).toBe(
    "SAGAZ_CONFLICT",
  );
  await append({ storage: after.storage, epoch }, toEntry(sagaId, 2));
  expect(await register(after.storage)).toBeGreaterThan(epoch);
});

test("a write counts when so many replicas have it as are wanted, and none is looked up before", async ({
  skip,
}) => {
  const [primary, replica] = [await ownServer(skip), await ownServer(skip)];
  const second = plain(replica.url);
  await second.replicaof("127.0.0.1", primary.port);
  const isLinked = async () => (await second.info("replication")).includes("master_link_status:up");
  await waitUntil("the replica follows", isLinked);
  const t = await open(primary.url, { replicas: { min: 1, timeoutMs: 500 } });
  // The line to a replica that has only just come up takes longer, for a moment, than is waited for.
  const epoch = await waitUntil("the replica answers in time", () =>
    register(t.storage, { leaseMs: 600_000 }).catch((error: unknown) => {
      if (!isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT")) throw error;
      return undefined;
    }),
  );
  const sagaId = await begin(t, epoch);
  expect(await second.llen(`{sagaz:0}:journal:${sagaId}`)).toBe(2); // its row's fixed part, and an event
  await replica.pause();
  expect(await codeFrom(append({ storage: t.storage, epoch }, toEntry(sagaId, 2)))).toBe(
    "SAGAZ_COMMIT_IN_DOUBT",
  );
  expect(await codeFrom(t.storage.journal.tails([sagaId]))).toBe("SAGAZ_STORAGE_UNAVAILABLE");
  await replica.resume();
  const tails = await afterOutage("the replica follows", () => t.storage.journal.tails([sagaId]));
  expect(tails).toEqual([{ sagaId, seq: 2, owner: epoch }]);
});

test("a full memory is an outage for what needs more, and no obstacle to what frees some", async ({
  skip,
}) => {
  const server = await ownServer(skip, { settings: { "maxmemory-policy": "noeviction" } });
  const redis = plain(server.url);
  const t = await open(server.url);
  const epoch = await register(t.storage, { leaseMs: 600_000 });
  await t.storage.outbox.balance(epoch);
  await publish(t, epoch, [toEvent(t, "k")]);
  await redis.config("SET", "maxmemory", "1mb");
  expect(await codeFrom(begin(t, epoch))).toBe("SAGAZ_STORAGE_UNAVAILABLE");
  expect((await t.storage.leases.beat(epoch)).alive).toBe(true);
  const events = await take(t, epoch);
  await settle(t, { epoch, sent: events.map(({ id }) => id) });
  expect((await t.storage.outbox.backlog()).pending).toBe(0);
  // Who comes now can do as much.
  const later = await open(server.url);
  const relay = await register(later.storage, { leaseMs: 600_000 });
  expect((await later.storage.outbox.balance(relay)).share).toBe(32);
  await redis.config("SET", "maxmemory", "0");
  await begin(t, epoch);
});

test("scripts that the server has forgotten are sent again", async ({ skip }) => {
  const server = await ownServer(skip);
  const t = await open(server.url);
  const epoch = await register(t.storage);
  const sagaId = await begin(t, epoch);
  await plain(server.url).script("FLUSH");
  await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { events: [event("step_done")] }));
  expect(await t.storage.queries.journal(sagaId)).toHaveLength(2);
});

test("what is not started, or not there, says so", async ({ skip }) => {
  const server = await ownServer(skip);
  const storage = storageAt(server.url);
  expect(await codeFrom(storage.leases.beat(1))).toBe("SAGAZ_NOT_STARTED");
  await storage.start();
  await storage.stop();
  await storage.stop();
  expect(await codeFrom(storage.leases.beat(1))).toBe("SAGAZ_STOPPED");
  await storage.start();
  expect((await storage.leases.beat(1)).alive).toBe(false);
  await storage.stop();
  await server.kill();
  expect(await codeFrom(storage.start())).toBe("SAGAZ_STORAGE_UNAVAILABLE");
});
