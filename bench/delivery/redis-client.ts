import { Redis } from "ioredis";
import type { BareClient } from "./bare-client.ts";

/** One pipeline of XADD for each batch. */
export async function openRedis(url: string): Promise<BareClient> {
  const redis = new Redis(url);
  return {
    async publish(messages) {
      const pipeline = redis.pipeline();
      for (const { topic, key, headers, payload } of messages) {
        const text = typeof payload === "string" ? payload : Buffer.from(payload);
        pipeline.xadd(topic, "*", "key", key, "headers", JSON.stringify(headers), "payload", text);
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
    },
    close: async () => redis.disconnect(),
  };
}

export async function flushRedis(url: string): Promise<void> {
  const redis = new Redis(url);
  await redis.flushall();
  redis.disconnect();
}
