import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";

/** A server that answers every part with the same in capitals, and remembers what it received. */
let server: Server;
let proxy: FaultProxy;
let received: string;
let serverSockets: Set<Socket>;
let clients: Client[] = [];

beforeEach(async () => {
  received = "";
  serverSockets = new Set();
  server = createServer((socket) => {
    serverSockets.add(socket);
    socket.on("close", () => serverSockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (part: Buffer) => {
      received += part.toString();
      socket.write(part.toString().toUpperCase());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy = await startFaultProxy(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterEach(async () => {
  await proxy.stop();
  await proxy.stop();
  for (const client of clients) client.socket.destroy();
  clients = [];
  for (const socket of serverSockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

interface Client {
  readonly socket: Socket;
  text: string;
  error: string | undefined;
  closed: boolean;
}

const until = (probe: () => boolean) => vi.waitUntil(probe, { timeout: 5_000, interval: 5 });

async function open(): Promise<Client> {
  // What has closed here may still count there: then one more would not be told from one less.
  await until(() => proxy.openConnections === clients.filter(({ closed }) => !closed).length);
  const before = proxy.openConnections;
  const socket = connect(proxy.port, "127.0.0.1");
  const client: Client = { socket, text: "", error: undefined, closed: false };
  clients.push(client);
  socket.on("data", (part: Buffer) => (client.text += part.toString()));
  socket.on("error", (error: NodeJS.ErrnoException) => (client.error = error.code));
  socket.on("close", () => (client.closed = true));
  // The kernel says "connected" before the proxy has heard of it.
  await until(() => proxy.openConnections > before || client.closed);
  return client;
}

test("passes everything on while no fault is in force, the end included", async () => {
  const client = await open();
  client.socket.write("hello");
  await until(() => client.text === "HELLO");
  expect(proxy.openConnections).toBe(1);
  client.socket.end();
  await until(() => client.closed && proxy.openConnections === 0);
  expect(client.error).toBeUndefined();
});

test("carries more than its buffers hold, in order", async () => {
  const client = await open();
  const sent = Array.from({ length: 200_000 }, (_, index) => `<${index}>`).join("");
  client.socket.write(sent);
  await until(() => client.text.length === sent.length);
  expect(client.text === sent).toBe(true);
});

test("delays every byte, and what was sent before the client went away still arrives", async () => {
  const client = await open();
  proxy.delay(80, "toServer");
  const sentAt = performance.now();
  client.socket.write("late");
  client.socket.destroy();
  await until(() => received === "late");
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(79);
  proxy.delay(0);
  await until(() => proxy.openConnections === 0);
});

test("a black hole holds bytes and ends back, tells nobody, and heals without loss", async () => {
  const client = await open();
  const lost = await open();
  proxy.blackHole("toClient");
  client.socket.write("half");
  await until(() => received === "half");
  expect(client.text).toBe("");
  proxy.blackHole();
  client.socket.write("open");
  lost.socket.destroy();
  const later = await open(); // still accepted: a black hole refuses nothing
  later.socket.write("later");
  // The destroyed client's connection is still open on the far side: the server has not heard of its end.
  await until(() => serverSockets.size === 3);
  expect(received).toBe("half");
  proxy.heal();
  await until(() => client.text === "HALFOPEN" && later.text === "LATER" && serverSockets.size === 2);
  expect(client.closed).toBe(false);
});

test("a reset breaks what is open and welcomes what comes; a cut breaks both until it heals", async () => {
  const first = await open();
  proxy.reset();
  await until(() => first.closed);
  expect(first.error).toBe("ECONNRESET");
  const second = await open();
  second.socket.write("on");
  await until(() => second.text === "ON");
  proxy.cut();
  await until(() => second.closed);
  const third = await open();
  await until(() => third.closed);
  proxy.heal();
  const fourth = await open();
  fourth.socket.write("again");
  await until(() => fourth.text === "AGAIN");
});

test("truncates at the very byte, in either direction, once", async () => {
  const client = await open();
  const hit = proxy.truncateAfter(3);
  client.socket.write("abcdef");
  await hit;
  await until(() => client.closed);
  expect(client.text).toBe("ABC");

  received = "";
  const second = await open();
  const secondHit = proxy.truncateAfter(2, "toServer");
  second.socket.write("xyz");
  await secondHit;
  await until(() => second.closed && proxy.openConnections === 0);
  expect(received).toBe("xy");

  const third = await open();
  third.socket.write("whole");
  await until(() => third.text === "WHOLE");
});

test("loses one answer: the server deals with the request, the client never hears of it", async () => {
  const client = await open();
  const bystander = await open();
  const hit = proxy.dropRepliesOnce("commit");
  client.socket.write("begin");
  await until(() => client.text === "BEGIN");
  bystander.socket.write("other");
  client.socket.write("commit");
  await hit;
  await until(() => client.closed && bystander.text === "OTHER");
  expect(client.error).toBe("ECONNRESET");
  expect(client.text).toBe("BEGIN");
  expect(received).toContain("commit");
  expect(bystander.closed).toBe(false);
});

test("loses one request: neither side ever deals with it", async () => {
  const client = await open();
  const hit = proxy.dropRequestsOnce((request) => request.length > 4);
  client.socket.write("tiny");
  await until(() => client.text === "TINY");
  client.socket.write("longer");
  await hit;
  await until(() => client.closed && proxy.openConnections === 0);
  expect(received).toBe("tiny");
});

test("faults that have not hit yet are gone after it heals", async () => {
  void proxy.dropRepliesOnce();
  void proxy.truncateAfter(0);
  proxy.delay(60_000);
  proxy.heal();
  const client = await open();
  client.socket.write("fine");
  await until(() => client.text === "FINE");
});

test("a server that is not there shows as a connection that breaks", async () => {
  const nowhere = await startFaultProxy("tcp://127.0.0.1:1");
  const socket = connect(nowhere.port, "127.0.0.1");
  await new Promise((resolve) => socket.on("error", resolve).on("close", resolve));
  await nowhere.stop();
});
