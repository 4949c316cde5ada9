import { expect, onTestFinished, test } from "vitest";
import { askServer } from "./ask-server.ts";
import { testLauncher } from "./broker-rules.ts";
import { findRedis, redisUrlVariable, startRedis } from "./redis.ts";
import type { TestBroker } from "./scratch-broker.ts";

async function hears(broker: TestBroker, command: string, answer: RegExp): Promise<boolean> {
  return (await askServer(broker.port, `${command}\r\n`, answer)) !== undefined;
}

testLauncher("Redis", {
  file: "redis.ts",
  find: findRedis,
  start: startRedis,
  variable: redisUrlVariable,
  answers: (broker) => hears(broker, "PING", /^\+PONG/),
  put: (broker) => hears(broker, "SET kept yes", /^\+OK/),
  has: (broker) => hears(broker, "GET kept", /^\$3\r\nyes/),
});

test("a Redis with a password asks for it, and syncs as it was told to", async ({ skip }) => {
  const found = await findRedis({ own: true });
  if ("missing" in found) return skip(found.missing);
  const broker = await startRedis(found, { password: "open sesame", appendfsync: "always" });
  onTestFinished(() => broker.stop());
  expect(new URL(broker.url).password).toBe("open%20sesame");
  expect(await hears(broker, "PING", /^-NOAUTH/)).toBe(true);
  const login = `AUTH "open sesame"\r\n`;
  expect(await hears(broker, `${login}CONFIG GET appendfsync`, /always/)).toBe(true);
});

test("a server that cannot start says why", async () => {
  await expect(startRedis({ program: "/bin/false" })).rejects.toThrow(/Redis did not start/);
});
