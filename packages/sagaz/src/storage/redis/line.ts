import { randomUUID } from "node:crypto";
import type { RedisStorageClient } from "./client.ts";
import { messageOf, toSagaError } from "./errors.ts";
import { toSettings } from "./settings.ts";

/** For so long the number of a line's connection is kept: what was sent by an older one has arrived, or never will. */
const numberKeptMs = 86_400_000;

/** Goes through when the memory is full: those who free some must be able to connect. */
const greeting = `#!lua flags=allow-oom
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])`;

/** What a {@link Line} is made of. */
export interface LineOptions {
  readonly tag: string;
  readonly answerTimeoutMs: number;
  /** Called after a connection was lost, when there is another one. */
  readonly onReopened: () => void;
}

/**
 * The connection by which all is read and written, opened again whenever it is lost.
 *
 * Each connection of a line has a number, which Redis is told before anything else is sent, and which every write
 * carries: so what a lost connection had sent is done before the first call of the next one, or never. Who looks what
 * became of a write in doubt need not fear that it happens after the look.
 */
export class Line {
  /** Names this line among all. */
  readonly id = randomUUID();
  readonly #client: RedisStorageClient;
  readonly #key: string;
  readonly #onReopened: () => void;
  readonly #opened: Promise<void>;
  #number = 0;
  #isOpen = false;
  #wasOpen = false;
  /** Why there is no connection: the driver tells that as an event, and to who has called only that it "is closed". */
  #trouble: unknown = "there is no answer";
  #resolveOpened = () => {};
  #rejectOpened: (error: unknown) => void = () => {};

  constructor(like: RedisStorageClient, { tag, answerTimeoutMs, onReopened }: LineOptions) {
    this.#onReopened = onReopened;
    this.#key = `${tag}:line:${this.id}`;
    this.#client = like.duplicate(toSettings(answerTimeoutMs));
    this.#opened = new Promise((resolve, reject) => {
      this.#resolveOpened = resolve;
      this.#rejectOpened = reject;
    });
    this.#opened.catch(() => {});
    this.#client.on("error", (error) => (this.#trouble = error));
    this.#client.on("ready", () => void this.#greet());
    this.#client.on("close", () => (this.#isOpen = false));
  }

  /** The number of the present connection. */
  get number(): number {
    return this.#number;
  }

  /** @throws SagaError `SAGAZ_STORAGE_UNAVAILABLE`, `SAGAZ_STORAGE_READ_ONLY`; the line is then closed for good. */
  async open(): Promise<void> {
    try {
      await this.#client.connect();
      await this.#opened;
    } catch {
      this.close();
      throw toSagaError(this.#trouble, { writes: false, wasSent: false });
    }
  }

  /** @throws SagaError as the port says. */
  async call(command: string, args: readonly (string | number)[], writes: boolean): Promise<unknown> {
    if (!this.#isOpen) throw toSagaError(this.#trouble, { writes, wasSent: false });
    return this.#client.call(command, ...args);
  }

  /** Closes at once, and for good. Safe twice. */
  close(): void {
    this.#isOpen = false;
    this.#client.disconnect();
  }

  /** Nothing is sent before the server knows this connection's number. */
  async #greet(): Promise<void> {
    const number = ++this.#number;
    try {
      await this.#client.call("EVAL", greeting, 1, this.#key, number, numberKeptMs);
      if (number !== this.#number) return;
      this.#isOpen = true;
      this.#trouble = "the connection was lost";
      this.#resolveOpened();
      if (this.#wasOpen) this.#onReopened();
      this.#wasOpen = true;
    } catch (error) {
      // A replica, or a server that has no disk: by its name another one may be found.
      this.#trouble = messageOf(error) === "Connection is closed." ? this.#trouble : error;
      this.#rejectOpened(error);
      if (number === this.#number) this.#client.disconnect(true);
    }
  }
}
