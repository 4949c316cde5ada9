import { connect, createServer, type Socket } from "node:net";
import { findFreePort } from "../../tools/servers/free-port.ts";

/** A way to a PostgreSQL on which queries are counted as they pass. */
export interface CountedWay {
  /** The server's URL with this way's port in it. */
  readonly url: string;
  /** How many statements have been sent so far: simple queries and executions of prepared ones. */
  queries(): number;
  close(): Promise<void>;
}

const simpleQuery = "Q".charCodeAt(0);
const execute = "E".charCodeAt(0);

/**
 * Reads a client's side of PostgreSQL's protocol (version 3) in pieces as they come, and counts statements.
 *
 * Every message is a type byte and a length that includes itself; only the first has no type byte.
 */
export class StatementCounter {
  #pending: Buffer = Buffer.alloc(0);
  #hasStarted = false;
  count = 0;

  take(piece: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, piece]);
    for (;;) {
      const head = this.#hasStarted ? 1 : 0;
      if (this.#pending.length < head + 4) return;
      const length = head + this.#pending.readInt32BE(head);
      if (this.#pending.length < length) return;
      const type = this.#pending[0];
      if (this.#hasStarted && (type === simpleQuery || type === execute)) this.count += 1;
      this.#hasStarted = true;
      this.#pending = this.#pending.subarray(length);
    }
  }
}

/** Opens a counting way to the server of `url`, which must not use TLS. */
export async function openCountedWay(url: string): Promise<CountedWay> {
  const target = new URL(url);
  const counters: StatementCounter[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    // One side that breaks ends the other; whose fault it was, both ends report themselves.
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  };
  const proxy = createServer((client) => {
    const server = connect(Number(target.port || 5432), target.hostname);
    const counter = new StatementCounter();
    counters.push(counter);
    keep(client);
    keep(server);
    client.on("data", (piece: Buffer) => counter.take(piece));
    client.pipe(server).pipe(client);
    client.once("close", () => server.destroy());
    server.once("close", () => client.destroy());
  });
  const port = await findFreePort();
  await new Promise<void>((resolve, reject) => {
    proxy.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  const counted = new URL(url);
  counted.hostname = "127.0.0.1";
  counted.port = String(port);
  return {
    url: counted.href,
    queries: () => counters.reduce((sum, { count }) => sum + count, 0),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => proxy.close(() => resolve()));
    },
  };
}
