import type { Hint } from "../../ports/storage.ts";
import type { RedisStorageClient } from "./client.ts";
import { messageOf } from "./errors.ts";
import { toSettings } from "./settings.ts";

const words: readonly Hint[] = ["work", "mail", "ended", "outbox"];

/** How to hear hints. */
export interface HintsOptions {
  readonly client: RedisStorageClient;
  readonly tag: string;
  readonly answerTimeoutMs: number;
  readonly onNotice: (notice: string) => void;
}

/**
 * Hints between processes, by PUBLISH and SUBSCRIBE on a connection of its own, which is open only while somebody listens. The
 * scripts tell; of what comes at once each word is passed on once.
 *
 * It subscribes again and again: what was refused may be allowed by now, and a connection that nobody answers is dead.
 */
export class Hints {
  readonly #options: HintsOptions;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #waiting = new Set<Hint>();
  #client: RedisStorageClient | undefined;
  #subscribing: NodeJS.Timeout | undefined;
  #isOpen = false;
  #isHeard = false;
  #isNoticed = false;

  constructor(options: HintsOptions) {
    this.#options = options;
  }

  listen(listener: (hint: Hint) => void): () => void {
    const own = (hint: Hint) => listener(hint);
    this.#listeners.add(own);
    if (this.#isOpen) this.#connect();
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size === 0) this.#disconnect();
    };
  }

  open(): void {
    this.#isOpen = true;
    if (this.#listeners.size > 0) this.#connect();
  }

  close(): void {
    this.#isOpen = false;
    this.#disconnect();
  }

  /** The server may be another one now: what the old one still says is of no use. */
  renew(): void {
    this.#client?.disconnect(true);
  }

  #disconnect(): void {
    clearInterval(this.#subscribing);
    this.#client?.disconnect();
    this.#client = undefined;
  }

  #connect(): void {
    if (this.#client) return;
    const { client: like, answerTimeoutMs } = this.#options;
    const client = like.duplicate(toSettings(answerTimeoutMs));
    let isReady = false;
    this.#client = client;
    client.on("error", (error) => this.#deaf(client, error));
    client.on("message", (_channel, word) => this.#hear(word));
    client.on("close", () => (isReady = this.#isHeard = false));
    client.on("ready", () => {
      isReady = true;
      void this.#subscribe(client);
    });
    client.connect().catch(() => {}); // it goes on trying by itself
    this.#subscribing = setInterval(() => isReady && void this.#subscribe(client), answerTimeoutMs);
  }

  /** Twice does no harm. The driver knows this command, which changes its connection, by this spelling only. */
  async #subscribe(client: RedisStorageClient): Promise<void> {
    try {
      await client.call("subscribe", `${this.#options.tag}:hints`);
    } catch (error) {
      return this.#deaf(client, error);
    }
    this.#isNoticed = false;
    if (this.#isHeard) return;
    this.#isHeard = true;
    // While nobody listened, anything may have been said.
    for (const word of words) this.#hear(word);
  }

  #deaf(client: RedisStorageClient, error: unknown): void {
    if (this.#isNoticed || client !== this.#client) return;
    this.#isNoticed = true;
    const why = messageOf(error);
    this.#options.onNotice(`Redis' hints are not heard, so work is found later, by looking for it: ${why}`);
  }

  #hear(word: string): void {
    const hint = words.find((one) => one === word);
    if (!hint) return;
    if (this.#waiting.size === 0) queueMicrotask(() => this.#pass());
    this.#waiting.add(hint);
  }

  #pass(): void {
    const hints = [...this.#waiting];
    this.#waiting.clear();
    for (const listener of this.#listeners) for (const hint of hints) tell(listener, hint);
  }
}

function tell(listener: (hint: Hint) => void, hint: Hint): void {
  try {
    listener(hint);
  } catch {
    // A hint may be lost: a listener's trouble is its own.
  }
}
