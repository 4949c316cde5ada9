import { within } from "../connection.ts";
import { toSagaError } from "../errors.ts";
import type { Lsn } from "./lsn.ts";
import type { PgSubmittable, PgWire } from "../pool.ts";
import type { PgReplicationClient } from "./replication-client.ts";

/** What comes of a replication. */
export interface ReplicationEvents {
  /** A message of the output plugin; its bytes are only lent. */
  onMessage(bytes: Buffer, from: number): void;
  /** The server has nothing before this place; true when it wants to hear from us at once. */
  onKeepalive(walEnd: Lsn, wantsReply: boolean): void;
  onEnd(error: unknown): void;
}

const XLOG_DATA = 0x77;
const KEEPALIVE = 0x6b;
const STATUS = 0x72;
const HEADER_BYTES = 25; // its kind, and three numbers of 64 bits
/** So many beats that the server does not answer, and the connection counts as dead: one that is cut does not say so. */
const SILENT_BEATS_MAX = 10;

/** Values come in the form in which they are read here, whatever the database or the role are set to. */
const SETTINGS =
  "set timezone = 'UTC'; set datestyle = 'ISO'; set bytea_output = 'hex'; set client_encoding = 'UTF8'";

/** One logical replication over a connection of its own: the streaming protocol, and nothing about what it carries. */
export class Replication {
  readonly #client: PgReplicationClient;
  readonly #events: ReplicationEvents;
  #wire: PgWire | undefined;
  #isPaused = false;
  #isOver = false;
  /** Since the server was heard last. */
  #silentBeats = 0;

  constructor(client: PgReplicationClient, events: ReplicationEvents) {
    this.#client = client;
    this.#events = events;
    client.on("error", (error) => this.#end(error));
    client.on("end", () => this.#end(new Error("the connection was closed")));
  }

  /** Resolves when the server has begun to stream, and fails when it has not by then. */
  async start(
    { slot, publication }: { readonly slot: string; readonly publication: string },
    timeoutMs: number,
  ): Promise<void> {
    try {
      await within(this.#open(slot, publication), timeoutMs, "no stream");
    } catch (error) {
      this.stop();
      throw toSagaError(error, { commits: false });
    }
  }

  async #open(slot: string, publication: string): Promise<void> {
    await this.#client.connect();
    await this.#client.query(SETTINGS);
    await this.#begin(
      `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${publication}"')`,
    );
  }

  #begin(command: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const query: PgSubmittable = {
        submit: (wire) => {
          this.#wire = wire;
          wire.once("replicationStart", resolve);
          wire.query(command);
        },
        handleCopyData: ({ chunk }) => this.#hear(chunk),
        handleError: (error) => {
          reject(error);
          this.#end(error);
        },
        handleReadyForQuery: () => this.#end(new Error("the server has ended the stream")),
        handleCommandComplete: () => {},
      };
      this.#client.query(query);
    });
  }

  #hear(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#silentBeats = 0;
    const kind = chunk[0];
    if (kind === XLOG_DATA) this.#events.onMessage(chunk, HEADER_BYTES);
    else if (kind === KEEPALIVE) this.#events.onKeepalive(chunk.readBigUInt64BE(1), chunk[17] === 1);
  }

  /** To be called each second: confirms, and ends when the server has not been heard for long. */
  beat(lsn: Lsn): void {
    // Who does not listen hears nothing.
    this.#silentBeats = this.#isPaused ? 0 : this.#silentBeats + 1;
    if (this.#silentBeats > SILENT_BEATS_MAX)
      return this.#end(new Error(`the server has not answered ${SILENT_BEATS_MAX} times`));
    this.confirm(lsn);
  }

  /** Tells the server that everything up to here is done with, and asks for a word back. 0: there is nothing to tell yet. */
  confirm(lsn: Lsn): void {
    if (this.#isOver) return;
    const status = Buffer.alloc(34);
    status[0] = STATUS;
    status.writeBigUInt64BE(lsn, 1); // written
    status.writeBigUInt64BE(lsn, 9); // flushed: what counts
    status.writeBigUInt64BE(lsn, 17); // applied
    status[33] = 1; // answer at once
    this.#wire?.sendCopyFromChunk(status); // its own time is not told: the server only shows it
  }

  /** Stops reading from the socket, or goes on. What has been read is still handed over. */
  hold(isFull: boolean): void {
    if (isFull === this.#isPaused || this.#isOver) return;
    this.#isPaused = isFull;
    if (isFull) this.#wire?.stream.pause();
    else this.#wire?.stream.resume();
  }

  /** Ends it, whether the other end is there or not. What was confirmed before has been sent. Safe twice. */
  stop(): void {
    this.#isOver = true;
    this.#client.end().catch(() => {});
    // Its farewell would wait for the answer of a peer that may be gone.
    const { connection } = this.#client as { connection?: { stream?: { destroy?: () => void } } };
    connection?.stream?.destroy?.();
  }

  #end(error: unknown): void {
    if (this.#isOver) return;
    this.stop();
    this.#events.onEnd(error);
  }
}
