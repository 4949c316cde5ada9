import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { findFreePort } from "./free-port.ts";
import { FaultyLink, type Direction, type LinkFaults } from "./faulty-link.ts";

export type { Direction } from "./faulty-link.ts";

/** Tells the requests apart that a fault is meant for: by a text they contain, or by a look at their bytes. */
export type RequestMatch = string | ((request: Buffer) => boolean);

/**
 * A TCP proxy that does harm on command, and only then: every fault begins and ends with a call, none by chance.
 *
 * Faults apply to the connections that are open and to those that come, until {@link FaultProxy.heal}; those
 * named `…Once` hit one connection and are over.
 */
export interface FaultProxy {
  readonly port: number;
  /** Connections now open through it. */
  readonly openConnections: number;
  /** Connections that came to it so far, those included that it refused. */
  readonly opened: number;
  /** The same URL by way of the proxy. */
  through(url: string): string;
  /** Every byte arrives this many milliseconds later; the order stays. */
  delay(latencyMs: number, direction?: Direction): void;
  /** Nothing passes in this direction (default both), and nobody is told; what is sent arrives after `heal`, as on a network that was cut for a while. */
  blackHole(direction?: Direction): void;
  /** Breaks every open connection with a reset; new ones are welcome. */
  reset(): void;
  /** Breaks every open connection with a reset, and new ones as soon as they come, until `heal`. */
  cut(): void;
  /** Passes exactly so many more bytes in this direction (default to the client), then closes: in the middle of a message if you count well. Hits one connection; resolves when it has. */
  truncateAfter(bytes: number, direction?: Direction): Promise<void>;
  /** Lets the next (matching) request through and breaks the connection in place of the answer: a lost acknowledgement. Resolves when the server has dealt with the request and closed. */
  dropRepliesOnce(match?: RequestMatch): Promise<void>;
  /** Breaks the connection in place of passing the next (matching) request on: the server never sees it. Resolves when that has happened. */
  dropRequestsOnce(match?: RequestMatch): Promise<void>;
  /** Ends every fault; connections that are still open go on as if nothing had been. */
  heal(): void;
  /** Breaks what is open and stops listening; safe twice. */
  stop(): Promise<void>;
}

/** Starts a proxy on a free port of 127.0.0.1 before the server that the URL names. */
export async function startFaultProxy(targetUrl: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(targetUrl);
  const proxy = new TcpFaultProxy({ host: hostname, port: Number(port) });
  await proxy.listen();
  return proxy;
}

class TcpFaultProxy implements FaultProxy {
  readonly #target: { host: string; port: number };
  readonly #links = new Set<FaultyLink>();
  readonly #listener: Server;
  readonly #faults: LinkFaults = {
    latencyMs: { toServer: 0, toClient: 0 },
    closedGates: new Set(),
    onGateOpen: new Set(),
    once: [],
  };
  #refuses = false;
  #opened = 0;

  constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#listener = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  get opened(): number {
    return this.#opened;
  }

  get openConnections(): number {
    return this.#links.size;
  }

  async listen(): Promise<void> {
    const port = await findFreePort();
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen(port, "127.0.0.1", resolve);
    });
  }

  through(url: string): string {
    const copy = new URL(url);
    copy.hostname = "127.0.0.1";
    copy.port = String(this.port);
    return copy.href;
  }

  delay(latencyMs: number, direction?: Direction): void {
    for (const way of toDirections(direction)) this.#faults.latencyMs[way] = latencyMs;
  }

  blackHole(direction?: Direction): void {
    for (const way of toDirections(direction)) this.#faults.closedGates.add(way);
  }

  reset(): void {
    for (const link of this.#links) link.reset();
  }

  cut(): void {
    this.#refuses = true;
    this.reset();
  }

  truncateAfter(bytes: number, direction: Direction = "toClient"): Promise<void> {
    return new Promise((hit) => this.#faults.once.push({ kind: "truncate", direction, bytes, hit }));
  }

  dropRepliesOnce(match?: RequestMatch): Promise<void> {
    return new Promise((hit) =>
      this.#faults.once.push({ kind: "dropReply", matches: toMatcher(match), hit }),
    );
  }

  dropRequestsOnce(match?: RequestMatch): Promise<void> {
    return new Promise((hit) =>
      this.#faults.once.push({ kind: "dropRequest", matches: toMatcher(match), hit }),
    );
  }

  heal(): void {
    this.#refuses = false;
    this.#faults.latencyMs.toServer = 0;
    this.#faults.latencyMs.toClient = 0;
    this.#faults.once.length = 0;
    this.#faults.closedGates.clear();
    for (const wake of this.#faults.onGateOpen) wake();
    this.#faults.onGateOpen.clear();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#listener.close(resolve)); // answers at once the second time
    this.heal();
    this.reset();
    await closed;
  }

  #accept(client: Socket): void {
    this.#opened += 1;
    if (this.#refuses) {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#target, allowHalfOpen: true });
    const link = new FaultyLink({ client, server }, this.#faults, () => this.#links.delete(link));
    this.#links.add(link);
  }
}

function toDirections(direction: Direction | undefined): Direction[] {
  return direction === undefined ? ["toServer", "toClient"] : [direction];
}

function toMatcher(match: RequestMatch | undefined): (request: Buffer) => boolean {
  if (typeof match === "function") return match;
  return (request) => match === undefined || request.includes(match);
}
