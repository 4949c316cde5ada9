import { inspect } from "node:util";
import { expect, test, vi } from "vitest";
import { createBroker } from "./create.ts";

test("a URL names its broker", async () => {
  for (const [url, name] of [
    ["memory:", "memory"],
    ["MEMORY:", "memory"],
    ["redis://user:password@127.0.0.1:1/0", "Redis"],
    ["rediss://127.0.0.1:1", "Redis"],
    ["nats://user:password@127.0.0.1:1", "NATS"],
    ["tls://127.0.0.1", "NATS"],
    ["kafka://user:secret@127.0.0.1:1", "Kafka"],
    ["kafkas://127.0.0.1:1,127.0.0.1:2", "Kafka"],
    ["amqp://user:secret@127.0.0.1:1/vhost", "RabbitMQ"],
    ["amqps://127.0.0.1:1", "RabbitMQ"],
  ] as const) {
    expect((await createBroker(url)).name).toBe(name);
  }
});

test("a URL of no broker is refused without being shown", async () => {
  for (const url of ["carrier-pigeon://user:secret@loft", "secret", "toString:secret"]) {
    const error = await createBroker(url).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SAGAZ_UNKNOWN_BROKER" });
    expect(String(error)).not.toContain("secret");
    expect(String(error)).toContain("memory:");
  }
});

test.each([
  "amqp://user:s3cret@127.0.0.1:1",
  "redis://user:s3cret@127.0.0.1:1",
  "nats://user:s3cret@127.0.0.1:1",
  "nats://s3cret@127.0.0.1:1",
])("what is wrong is said without the password: %s", async (url) => {
  const unreadable = await createBroker(url.replace(/1$/, "port")).catch((thrown: unknown) => thrown);
  expect(unreadable).toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  const stray = await createBroker(url.replace("s3cret", "100%s3cret")).catch((thrown: unknown) => thrown);
  expect(stray).toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  const broker = await createBroker(url);
  const unreachable = await broker.start().catch((thrown: unknown) => thrown);
  expect(unreachable).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
  expect(String(unreachable)).toMatch(/ECONNREFUSED|connection refused/);
  await broker.stop();
  for (const error of [unreadable, stray, unreachable])
    expect(inspect(error, { depth: 9 })).not.toContain("s3cret");
});

test.each([
  ["redis://127.0.0.1", "ioredis"],
  ["nats://127.0.0.1", "@nats-io/transport-node"],
  ["kafka://127.0.0.1:1", "@platformatic/kafka"],
  ["amqp://127.0.0.1:1", "amqplib"],
])("%s without %s says what to install", async (url, driver) => {
  vi.doMock(driver, () => {
    throw new Error("it is not installed");
  });
  const error = await createBroker(url).catch((thrown: unknown) => thrown);
  vi.doUnmock(driver);
  expect(error).toMatchObject({ code: "SAGAZ_DRIVER_MISSING", details: { driver } });
});

test("a server that cannot be used is said without the password", async () => {
  for (const [url, code] of [
    ["kafka://user:secret@127.0.0.1:1", "SAGAZ_BROKER_UNAVAILABLE"],
    ["kafka://user:secret@one two", "SAGAZ_INVALID_OPTION"],
    ["kafka://user:secret", "SAGAZ_INVALID_OPTION"],
  ] as const) {
    const failure = createBroker(url).then((broker) => broker.start());
    const error: unknown = await failure.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("secret");
  }
});
