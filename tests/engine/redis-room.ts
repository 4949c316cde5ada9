import { Redis } from "ioredis";
import { RedisStorage } from "../../packages/sagaz/src/storage/redis/index.ts";
import { loseRows, removeAll } from "./redis-keys.ts";
import type { Room } from "./room.ts";

let client: Redis | undefined;
let rooms = 0;

/** Keys of a name of their own in the Redis that all test files share. */
export async function openRedis(url: string, now: () => number): Promise<Room> {
  const redis = (client ??= new Redis(url));
  const name = `room-${process.pid}-${++rooms}`;
  const storages: RedisStorage[] = [];
  const another = async () => {
    const storage = new RedisStorage({ client: redis, name, now });
    storages.push(storage);
    await storage.start();
    return storage;
  };
  const storage = await another();
  return {
    storage,
    another,
    loseRows: () => loseRows(redis, name),
    begin: () => Promise.reject(new Error("Redis has no transaction to start a saga in")),
    sql: () => Promise.reject(new Error("Redis understands no SQL")),
    close: async () => {
      for (const one of storages) await one.stop();
      await removeAll(redis, name);
    },
  };
}
