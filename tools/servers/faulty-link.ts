import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Which way bytes travel. */
export type Direction = "toServer" | "toClient";

/** A fault that hits one connection; `hit` is called when it has. */
export type OnceFault =
  | { kind: "truncate"; direction: Direction; bytes: number; hit: () => void }
  | { kind: "dropReply" | "dropRequest"; matches: (request: Buffer) => boolean; hit: () => void };

/** The faults in force; the proxy changes them while links are open. */
export interface LinkFaults {
  readonly latencyMs: Record<Direction, number>;
  /** Directions in which nothing passes for now. */
  readonly closedGates: Set<Direction>;
  /** Called, and cleared, when the gates open again. */
  readonly onGateOpen: Set<() => void>;
  /** Waiting for their connection, oldest first. */
  readonly once: OnceFault[];
}

interface Part {
  readonly bytes: Buffer;
  readonly arrivedAt: number;
}

const waitingPartsMax = 64;

/** One client's connection through the proxy, with its two directions. */
export class FaultyLink {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #faults: LinkFaults;
  /** Called when the server has closed; set once this link's answer is to be lost. */
  #losesReply: (() => void) | undefined;
  #truncation: Extract<OnceFault, { kind: "truncate" }> | undefined;

  constructor(ends: { client: Socket; server: Socket }, faults: LinkFaults, onClosed: () => void) {
    this.#client = ends.client;
    this.#server = ends.server;
    this.#faults = faults;
    this.#client.setNoDelay(true);
    this.#server.setNoDelay(true);
    let open = 2;
    for (const end of [ends.client, ends.server]) {
      end.on("error", () => {}); // "close" follows and says all we need
      end.on("close", () => {
        open -= 1;
        if (open === 0) onClosed();
      });
    }
    this.#server.on("close", () => this.#losesReply?.());
    this.#pump("toServer", this.#client, this.#server);
    this.#pump("toClient", this.#server, this.#client);
  }

  /** Breaks both ends with a TCP reset. */
  reset(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
  }

  /** Reads parts as they come, notes when, and passes them on one after the other. */
  #pump(direction: Direction, source: Socket, sink: Socket): void {
    let waiting = 0;
    let last = Promise.resolve();
    const inTurn = (work: () => Promise<void>) => {
      last = last.then(work).catch(() => this.reset());
    };
    source.on("data", (bytes: Buffer) => {
      const part = { bytes, arrivedAt: performance.now() };
      waiting += 1;
      if (waiting >= waitingPartsMax) source.pause();
      inTurn(async () => {
        await this.#pass(direction, part, sink);
        waiting -= 1;
        if (source.isPaused()) source.resume();
      });
    });
    // The end travels like everything else: behind what was sent before, late, and not through a black hole.
    source.on("end", () => inTurn(() => this.#gate(direction).then(() => void sink.end())));
    source.on("close", () =>
      inTurn(() => this.#gate(direction).then(() => this.#closeBehind(direction, sink))),
    );
  }

  #closeBehind(direction: Direction, sink: Socket): void {
    // While an answer is being lost, the server is left alone until it has dealt with the request.
    const isStillAtWork = direction === "toServer" && this.#losesReply !== undefined;
    if (!isStillAtWork) sink.destroy();
  }

  async #pass(direction: Direction, part: Part, sink: Socket): Promise<void> {
    await this.#gate(direction);
    const lateMs = part.arrivedAt + this.#faults.latencyMs[direction] - performance.now();
    if (lateMs > 0) await delay(lateMs);
    await this.#gate(direction);
    if (sink.destroyed) return;
    if (direction === "toServer" ? this.#isRequestLost(part.bytes) : this.#isReplyLost()) return;
    const bytes = this.#truncate(direction, part.bytes);
    if (bytes.length > 0) await new Promise((resolve) => sink.write(bytes, resolve));
    if (this.#truncation?.bytes === 0) this.#endTruncated();
  }

  async #gate(direction: Direction): Promise<void> {
    while (this.#faults.closedGates.has(direction)) {
      await new Promise<void>((resolve) => this.#faults.onGateOpen.add(resolve));
    }
  }

  #isRequestLost(request: Buffer): boolean {
    const fault = this.#take((one) => one.kind !== "truncate" && one.matches(request));
    if (fault?.kind === "dropReply") this.#losesReply = fault.hit;
    if (fault?.kind !== "dropRequest") return false;
    this.reset();
    fault.hit();
    return true;
  }

  #isReplyLost(): boolean {
    if (this.#losesReply === undefined) return false;
    // The client sees the connection break; the server reads everything up to the end before it notices.
    this.#client.resetAndDestroy();
    this.#server.end();
    return true;
  }

  #truncate(direction: Direction, bytes: Buffer): Buffer {
    const fault = this.#take((one) => one.kind === "truncate" && one.direction === direction);
    if (fault?.kind === "truncate") this.#truncation = fault;
    if (this.#truncation?.direction !== direction) return bytes;
    const passed = bytes.subarray(0, this.#truncation.bytes);
    this.#truncation.bytes -= passed.length;
    return passed;
  }

  /** Closes instead of resetting: a reset might overtake bytes that were to arrive. */
  #endTruncated(): void {
    const { hit } = this.#truncation as { hit: () => void };
    this.#truncation = undefined;
    this.#client.end();
    this.#server.end();
    hit();
  }

  #take(isMeant: (fault: OnceFault) => boolean): OnceFault | undefined {
    const index = this.#faults.once.findIndex(isMeant);
    return index < 0 ? undefined : this.#faults.once.splice(index, 1)[0];
  }
}
