import { randomUUID } from "node:crypto";
import type { OpenConnection } from "./connection.ts";
import type { Database } from "./database.ts";
import { connectionsHeld, poolSizeOf, type PgNotification } from "./pool.ts";

const selfTestMs = 1_000;
const retryMs = 1_000;
const retryMsMax = 30_000;
/** One to read comes first. */
const poolSizeLeast = connectionsHeld + 1;

/** What the listener reports. */
export interface ListenerEvents {
  onPayload(payload: string): void;
  /** It listens now, and did not before. */
  onConnected(): void;
  onNotice(notice: string): void;
}

/**
 * A connection of its own that listens.
 *
 * Behind a pooler in transaction mode LISTEN seems to work and nothing ever comes. So each time it has connected, it
 * sends itself a message; if that does not come within a second it gives up, says so, and polling is left.
 */
export class Listener {
  readonly channel: string;
  readonly #database: Database;
  readonly #events: ListenerEvents;
  #connection: OpenConnection | undefined;
  #isWanted = false;
  #isConnecting = false;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #proof: { readonly text: string; readonly arrived: () => void } | undefined;

  constructor(database: Database, events: ListenerEvents) {
    this.#database = database;
    this.#events = events;
    this.channel = `sagaz_${database.schema}`;
  }

  /** Begins to listen; safe twice. */
  start(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    const size = poolSizeOf(this.#database.pool);
    if (size < poolSizeLeast) {
      this.#events.onNotice(
        `the pool has ${size} connections; with ${poolSizeLeast} sagaz could LISTEN, now it polls`,
      );
      return;
    }
    void this.#connect();
  }

  /** Stops, and gives the connection back. */
  stop(): void {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    // A connection that listens must not come back into the pool.
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  async #connect(): Promise<void> {
    if (!this.#isWanted || this.#isConnecting) return;
    this.#isConnecting = true;
    try {
      await this.#listen();
    } catch {
      this.#reconnectLater();
    } finally {
      this.#isConnecting = false;
    }
  }

  async #listen(): Promise<void> {
    const connection = await this.#database.open();
    const { client } = connection;
    client.on("notification", (message) => this.#hear(message));
    try {
      await connection.run({ text: `listen "${this.channel}"` }, { commits: false });
      const isHeard = await this.#proveIt();
      if (!this.#isWanted) return connection.destroy();
      if (!isHeard) {
        connection.destroy();
        this.#events.onNotice(
          "LISTEN is silent on this connection (a pooler in transaction mode?): sagaz polls",
        );
        return;
      }
    } catch (error) {
      connection.destroy();
      throw error;
    }
    connection.hold();
    this.#connection = connection;
    this.#failures = 0;
    client.on("end", () => this.#onLost(connection));
    client.on("error", () => this.#onLost(connection));
    this.#events.onConnected();
  }

  async #proveIt(): Promise<boolean> {
    const text = `proof ${randomUUID()}`;
    let timer: NodeJS.Timeout | undefined;
    const heard = new Promise<boolean>((resolve) => {
      this.#proof = { text, arrived: () => resolve(true) };
      timer = setTimeout(() => resolve(false), selfTestMs);
    });
    try {
      await this.#database.write({
        text: "select pg_notify($1::text, $2::text)",
        values: [this.channel, text],
      });
      return await heard;
    } finally {
      clearTimeout(timer);
      this.#proof = undefined;
    }
  }

  #hear({ channel, payload = "" }: PgNotification): void {
    if (channel !== this.channel) return;
    if (payload === this.#proof?.text) this.#proof.arrived();
    else if (!payload.startsWith("proof ")) this.#events.onPayload(payload);
  }

  #onLost(connection: OpenConnection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    connection.destroy();
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    if (!this.#isWanted) return;
    const delayMs = Math.min(retryMs * 2 ** this.#failures, retryMsMax);
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), delayMs).unref();
  }
}
