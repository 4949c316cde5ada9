import { expect, test } from "vitest";
import { SagaError } from "../../core/errors.ts";
import { RabbitMQBroker } from "./index.ts";

/** Starts a broker for which there is no connection to be had. */
async function startWith(trouble: unknown): Promise<unknown> {
  const broker = new RabbitMQBroker({ connect: () => Promise.reject(trouble), connectTimeoutMs: 50 });
  const error = await broker.start().catch((thrown: unknown) => thrown);
  await broker.stop();
  return error;
}

test("whatever keeps it from a connection is told in one line", async () => {
  expect(String(await startWith(new Error("no route")))).toMatch(/SAGAZ_BROKER_UNAVAILABLE.*no route/);
  const addresses = new AggregateError([new Error("not by IPv6"), new Error("not by IPv4")]);
  expect(String(await startWith(addresses))).toMatch(/not by IPv6; not by IPv4/);
  expect(String(await startWith("a text"))).toMatch(/a text/);
});

test("a driver that is not installed is no outage", async () => {
  const missing = new SagaError("SAGAZ_DRIVER_MISSING", { driver: "amqplib", what: "RabbitMQ" });
  expect(await startWith(missing)).toBe(missing);
});

test("a connection that does not come is not waited for longer than it may take", async () => {
  const broker = new RabbitMQBroker({ connect: () => new Promise(() => {}), connectTimeoutMs: 50 });
  await expect(broker.start()).rejects.toThrow(/no connection within 50 ms/);
  await broker.stop();
});
