import { expect, onTestFinished, test } from "vitest";
import { codeFrom, open, ownServer, plain, storageAt } from "../../../../../tests/engine/own-redis.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { createStorage } from "../create.ts";
import { append, begin, register, toEntry } from "../../testing/conformance/storage/material.ts";

test("options that would do harm later are refused", () => {
  const url = "redis://127.0.0.1:1";
  expect(() => storageAt(url, { name: "{x}" })).toThrow("1 to 50 characters");
  expect(() => storageAt(url, { answerTimeoutMs: 0 })).toThrow("answerTimeoutMs");
  expect(() => storageAt(url, { replicas: { min: 0, timeoutMs: 100 } })).toThrow("replicas.min");
  expect(() => storageAt(url, { replicas: { min: 1, timeoutMs: 0 } })).toThrow("1 to 2999");
  expect(() => storageAt(url, { replicas: { min: 1, timeoutMs: 3_000 } })).toThrow("1 to 2999");
});

test("a server that would lose sagas is refused, unless it may", async ({ skip }) => {
  const server = await ownServer(skip, { settings: { appendonly: "no", "maxmemory-policy": "allkeys-lru" } });
  const refused = await storageAt(server.url)
    .start()
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "SAGAZ_STORAGE_UNSAFE" });
  expect(String(refused)).toMatch(/appendonly.*allkeys-lru/);
  const notices: string[] = [];
  await storageAt(server.url, { mayLose: true, onNotice: (notice) => notices.push(notice) }).start();
  expect(notices).toEqual([expect.stringContaining("may lose")]);
});

test("a server that does not tell its settings is taken, with a notice", async ({ skip }) => {
  const server = await ownServer(skip);
  await plain(server.url).call(
    "ACL",
    "SETUSER",
    "app",
    "on",
    ">pass",
    "~{sagaz:0}*",
    "&{sagaz:0}*",
    "+@all",
    "-config",
  );
  const url = server.url.replace("redis://", "redis://app:pass@");
  const notices: string[] = [];
  const t = await open(url, { onNotice: (notice) => notices.push(notice) });
  expect(notices).toEqual([expect.stringContaining("does not tell")]);
  await begin(t, await register(t.storage));
});

test("a user who may not call what scripts call is refused: they would stop half-way", async ({ skip }) => {
  const server = await ownServer(skip);
  const redis = plain(server.url);
  const user = ["ACL", "SETUSER", "app", "on", ">pass", "~{sagaz:0}*", "&{sagaz:0}*", "+@all"] as const;
  await redis.call(...user, "-zadd");
  const storage = storageAt(server.url.replace("redis://", "redis://app:pass@"));
  const refused = await storage.start().catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "SAGAZ_STORAGE_UNSAFE" });
  expect(String(refused)).toContain("may not call ZADD on our keys");
  await redis.call(...user, "+@all");
  await storage.start();
});

test("what syncs nothing to disk by itself is noticed", async ({ skip }) => {
  const server = await ownServer(skip, { appendfsync: "no" });
  const notices: string[] = [];
  await open(server.url, { onNotice: (notice) => notices.push(notice) });
  expect(notices).toEqual([expect.stringContaining("half a minute")]);
});

test("who opens it by its URL hears of that too", async ({ skip }) => {
  const server = await ownServer(skip, { appendfsync: "no" });
  const notices: string[] = [];
  const storage = await createStorage(server.url, { onNotice: (notice) => notices.push(notice) });
  onTestFinished(() => storage.stop());
  await storage.start();
  expect(notices).toEqual([expect.stringContaining("half a minute")]);
});

test("a server that is set up anew is looked at again when the connection was lost; a notice that throws harms nobody", async ({
  skip,
}) => {
  const server = await ownServer(skip);
  const redis = plain(server.url);
  const notices: string[] = [];
  const t = await open(server.url, {
    onNotice: (notice) => {
      notices.push(notice);
      throw new Error("the listener's trouble");
    },
  });
  const epoch = await register(t.storage, { leaseMs: 600_000 });
  await redis.config("SET", "maxmemory-policy", "volatile-lru");
  for (const _ of [1, 2]) {
    await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await waitUntil("it is connected again", async () => (await codeFrom(begin(t, epoch))) === "done");
  }
  await waitUntil("it is noticed", () => notices.length > 0);
  expect(notices).toEqual([expect.stringContaining("volatile-lru")]);
});

test("what replicas have not got is in doubt, also when the server knew none of the scripts", async ({
  skip,
}) => {
  const [primary, replica] = [await ownServer(skip), await ownServer(skip)];
  const [first, second] = [plain(primary.url), plain(replica.url)];
  await second.replicaof("127.0.0.1", primary.port);
  const isLinked = async () => (await second.info("replication")).includes("master_link_status:up");
  await waitUntil("the replica follows", isLinked);
  const t = await open(primary.url, { replicas: { min: 1, timeoutMs: 300 } });
  const epoch = await register(t.storage, { leaseMs: 600_000 });
  const sagaId = await begin(t, epoch);
  await replica.pause();
  await first.script("FLUSH");
  const write = append({ storage: t.storage, epoch }, toEntry(sagaId, 2));
  expect(await codeFrom(write)).toBe("SAGAZ_COMMIT_IN_DOUBT");
  // However many wait for replicas, a heartbeat waits for few of them.
  const starts = Array.from({ length: 40 }, () => codeFrom(begin(t, epoch)));
  const beat = t.storage.leases.beat(epoch).then(() => "beat");
  expect(await Promise.race([beat, Promise.all(starts)])).toBe("beat");
  expect(new Set(await Promise.all(starts))).toEqual(new Set(["SAGAZ_COMMIT_IN_DOUBT"]));
  const waits = /cmdstat_wait:calls=(\d+)/.exec(await first.info("commandstats"))?.[1];
  expect(Number(waits)).toBeLessThan(10);
  await replica.resume();
});
