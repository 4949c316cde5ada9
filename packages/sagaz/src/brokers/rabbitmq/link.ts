import { setTimeout as pause } from "node:timers/promises";
import type { AmqpConnection, AmqpSocketOptions } from "./amqp.ts";
import { ignore, messageOf, toUnavailable } from "./trouble.ts";
import { within } from "./within.ts";

const reconnectMs = 100;
const reconnectMsMax = 5_000;
const goodbye = { ms: 2_000, else: "no goodbye" };

/** How a link is made. */
export interface LinkOptions {
  readonly connect: (socketOptions: AmqpSocketOptions) => Promise<AmqpConnection>;
  readonly connectTimeoutMs: number;
}

/** A connection that, once it was opened, is opened again whenever it is lost, until it is closed for good. */
export class Link {
  readonly #options: LinkOptions;
  #connection: AmqpConnection | undefined;
  #dialling: Promise<void> | undefined;
  /** Why the server takes no messages for now: it is short of memory or disk. */
  #blocked: string | undefined;
  #trouble = "it is not connected";
  #waiting: ((connection: AmqpConnection | undefined) => void)[] = [];
  /** Aborted when the link is closed. */
  readonly #life = new AbortController();

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /**
   * Opens it, once.
   *
   * @throws SagaError `SAGAZ_BROKER_UNAVAILABLE` when that fails; nobody tries again.
   */
  async open(): Promise<void> {
    try {
      await this.#dial();
    } catch (error) {
      throw toUnavailable(error);
    }
  }

  /** Closes it for good. Safe twice. */
  async close(): Promise<void> {
    this.#life.abort();
    const connection = this.#connection;
    this.#connection = undefined;
    this.#tell();
    await this.#dialling?.catch(ignore);
    if (connection) await part(connection);
  }

  /** The open connection. @throws SagaError `SAGAZ_BROKER_UNAVAILABLE` when there is none, or it takes no messages. */
  get connection(): AmqpConnection {
    if (!this.#connection) throw toUnavailable(this.#trouble);
    if (this.#blocked !== undefined) throw toUnavailable(`it takes no messages for now, ${this.#blocked}`);
    return this.#connection;
  }

  /** Waits for the open connection; undefined when the link is closed instead. */
  whenOpen(): Promise<AmqpConnection | undefined> {
    if (this.#connection || this.#life.signal.aborted) return Promise.resolve(this.#connection);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Gives up a connection that does not answer any more, unless the server has said that it would not. */
  drop(connection: AmqpConnection, why: string): void {
    if (this.#blocked !== undefined) return;
    this.#lose(connection, why);
    void part(connection);
  }

  /** Asks the server for a sign of life; answers what is wrong. */
  async ping(): Promise<string | undefined> {
    if (!this.#connection) return this.#trouble;
    if (this.#blocked !== undefined) return this.#blocked;
    const asking = this.#connection.createChannel().then((channel) => channel.close());
    const patience = { ms: this.#options.connectTimeoutMs, else: "no answer" };
    return within(patience, asking).then(() => undefined, messageOf);
  }

  async #dial(): Promise<void> {
    const { connect, connectTimeoutMs: timeout } = this.#options;
    const { signal } = this.#life;
    let isLate = false;
    const patience = { ms: timeout, else: "no connection", onLate: () => (isLate = true) };
    await within(
      patience,
      connect({ timeout, noDelay: true, keepAlive: true }).then((connection) => {
        this.#listenTo(connection);
        if (isLate || signal.aborted) {
          void part(connection);
          throw new Error("it was stopped");
        }
        this.#connection = connection;
        this.#blocked = undefined;
        this.#tell();
      }),
    );
  }

  #listenTo(connection: AmqpConnection): void {
    // It comes before the close and says more; without a listener it would end the process.
    connection.on("error", (error) => (this.#trouble = messageOf(error)));
    connection.on("close", (error) => this.#lose(connection, error && messageOf(error)));
    connection.on("blocked", (reason) => {
      if (this.#connection === connection) this.#blocked = reason;
    });
    connection.on("unblocked", () => {
      if (this.#connection === connection) this.#blocked = undefined;
    });
  }

  #lose(connection: AmqpConnection, why: string | undefined): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#trouble = why ?? this.#trouble;
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#life;
    for (let delayMs = reconnectMs; ; delayMs = Math.min(delayMs * 2, reconnectMsMax)) {
      await pause(delayMs, undefined, { signal }).catch(ignore);
      if (signal.aborted) return;
      try {
        await (this.#dialling = this.#dial());
        return;
      } catch (error) {
        this.#trouble = messageOf(error);
      }
    }
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve(this.#connection);
  }
}

/** Who does not answer the farewell is left without: its socket, and its heartbeats, would keep the process alive. */
async function part(connection: AmqpConnection): Promise<void> {
  await within(goodbye, connection.close()).catch((error: unknown) => {
    // Where its socket is, its types do not tell.
    const { connection: own } = connection as { connection?: { stream?: { destroy?(why: unknown): void } } };
    own?.stream?.destroy?.(error);
  });
}
