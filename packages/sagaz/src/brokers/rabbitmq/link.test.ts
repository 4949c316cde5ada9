import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import type { AmqpConnection } from "./amqp.ts";
import { Link } from "./link.ts";

class Connection extends EventEmitter {
  isClosed = false;

  createChannel(): Promise<{ close(): Promise<void> }> {
    return Promise.resolve({ close: () => Promise.resolve() });
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

/** A link, and the connections that it has opened. */
async function open() {
  const connections: Connection[] = [];
  const link = new Link({
    connect: () => {
      const connection = new Connection();
      connections.push(connection);
      return Promise.resolve(connection as unknown as AmqpConnection);
    },
    connectTimeoutMs: 60_000,
  });
  await link.open();
  const [first] = connections;
  if (!first) throw new Error("there is no connection");
  return { link, first, connections };
}

test("while the server is blocked nothing can be sent, and silence is no reason to drop it", async () => {
  const { link, first } = await open();
  first.emit("blocked", "low on memory");
  expect(() => link.connection).toThrow(/it takes no messages for now, low on memory/);
  expect(await link.ping()).toBe("low on memory");
  link.drop(first as unknown as AmqpConnection, "no answer");
  expect(first.isClosed).toBe(false);
  first.emit("unblocked");
  expect(link.connection).toBe(first);
  expect(await link.ping()).toBeUndefined();
  await link.close();
});

test("what a connection says that was dropped is not about the one that followed it", async () => {
  const { link, first, connections } = await open();
  link.drop(first as unknown as AmqpConnection, "no answer");
  expect(first.isClosed).toBe(true);
  expect(() => link.connection).toThrow(/no answer/);
  const second = await link.whenOpen();
  expect(second).toBe(connections[1]);
  first.emit("blocked", "low on memory");
  first.emit("close", new Error("gone"));
  expect(link.connection).toBe(second);
  connections[1]?.emit("blocked", "low on disk");
  first.emit("unblocked");
  expect(() => link.connection).toThrow(/low on disk/);
  await link.close();
});

test("a close that does not say why keeps what the error before it said", async () => {
  const { link, first } = await open();
  first.emit("error", new Error("the heart stopped"));
  first.emit("close");
  expect(() => link.connection).toThrow(/the heart stopped/);
  await link.close();
  expect(await link.whenOpen()).toBeUndefined();
});
