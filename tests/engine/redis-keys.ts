import type { Redis } from "ioredis";

/** Names of all keys of a storage of this name. */
async function keysOf(redis: Redis, name: string, pattern = "*"): Promise<readonly string[]> {
  const found: string[] = [];
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "MATCH", `{${name}:0}:${pattern}`, "COUNT", 1_000);
    found.push(...keys);
    cursor = next;
  } while (cursor !== "0");
  return found;
}

/** Removes all that a storage of this name has kept. */
export async function removeAll(redis: Redis, name: string): Promise<void> {
  for (const key of await keysOf(redis, name)) await redis.unlink(key);
}

/** Loses all projected rows of sagas, with what is found by them; journals, mail and keys stay. */
export async function loseRows(redis: Redis, name: string): Promise<void> {
  const projected = [
    "s",
    "owned",
    "mailed",
    "due",
    "heads",
    "lanes",
    "status",
    "tenant",
    "correlation",
    "parked",
    "ended",
  ];
  for (const kind of projected)
    for (const key of await keysOf(redis, name, `${kind}:*`)) await redis.unlink(key);
  await redis.unlink(`{${name}:0}:unfinished`);
}
