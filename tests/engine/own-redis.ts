import { Redis } from "ioredis";
import { onTestFinished } from "vitest";
import { RedisStorage, type RedisStorageOptions } from "../../packages/sagaz/src/storage/redis/index.ts";
import { codeOf } from "../../packages/sagaz/src/testing/conformance/storage/material.ts";
import type { StorageUnderTest } from "../../packages/sagaz/src/testing/index.ts";
import { findRedis, startRedis, type RedisOptions } from "../../tools/servers/redis.ts";
import type { TestBroker } from "../../tools/servers/scratch-broker.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";

type Skip = (reason: string) => never;

/** A server for one test: it is killed, filled, or made a replica. */
export async function ownServer(skip: Skip, options: RedisOptions = {}): Promise<TestBroker> {
  const found = await findRedis({ own: true });
  if ("missing" in found) return skip(found.missing);
  const server = await startRedis(found, options);
  onTestFinished(() => server.stop());
  return server;
}

/** A client of its own, for looking and for doing harm. */
export function plain(url: string): Redis {
  const client = new Redis(url);
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

/** A storage that the test stops; not started yet. */
export function storageAt(url: string, options: Partial<RedisStorageOptions> = {}): RedisStorage {
  const client = new Redis(url, { lazyConnect: true });
  const storage = new RedisStorage({ client, answerTimeoutMs: 3_000, ...options });
  onTestFinished(() => storage.stop());
  return storage;
}

/** A started storage, as the material of the rules takes it. */
export async function open(
  url: string,
  options: Partial<RedisStorageOptions> = {},
): Promise<StorageUnderTest> {
  const storage = storageAt(url, options);
  await storage.start();
  return {
    storage,
    another: async () => storage,
    now: () => Date.now(),
    setNow: () => {},
    close: () => storage.stop(),
  };
}

/** The code that a call fails with, or `done`. */
export const codeFrom = (call: Promise<unknown>) =>
  call.then(
    () => "done",
    (error: unknown) => codeOf(error) ?? String(error),
  );

/** What this call gives once it is answered by something else than an outage. */
export function afterOutage<T>(what: string, call: () => Promise<T>): Promise<T> {
  return waitUntil(what, async () => {
    try {
      return { answer: await call() };
    } catch (error) {
      if (codeOf(error) === "SAGAZ_STORAGE_UNAVAILABLE") return undefined;
      throw error;
    }
  }).then(({ answer }) => answer);
}
