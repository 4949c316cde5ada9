import type { RedisClient } from "./client.ts";
import { toUnavailable } from "./errors.ts";

const reopenMsMin = 20;
const reopenMsMax = 1_000;

/**
 * One connection, which is opened again whenever it is lost. A call either gets its answer or fails: nothing is sent
 * again on another connection, since what was sent may have been done.
 */
export class Line {
  readonly #client: RedisClient;
  #isOpen = false;
  /** Why there is no connection: the driver tells that as an event, and to who has called only that it "is closed". */
  #trouble: unknown = "there is no answer";

  constructor(like: RedisClient, answerTimeoutMs: number, onLost?: () => void) {
    this.#client = like.duplicate({
      lazyConnect: true,
      protocol: 2, // the same answers whatever the driver's default is
      keyPrefix: "",
      connectTimeout: answerTimeoutMs,
      socketTimeout: answerTimeoutMs,
      enableOfflineQueue: false,
      enableAutoPipelining: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (tries) => Math.min(reopenMsMin * 2 ** (tries - 1), reopenMsMax),
      // What was the primary may have become a replica: its name may lead to another one by now.
      reconnectOnError: ({ message }) => message.startsWith("READONLY"),
    });
    this.#client.on("error", (error) => (this.#trouble = error));
    this.#client.on("ready", () => {
      this.#isOpen = true;
      this.#trouble = "the connection was lost";
    });
    this.#client.on("close", () => {
      if (this.#isOpen) onLost?.();
      this.#isOpen = false;
    });
  }

  /** @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`; the line is then closed for good. */
  async open(): Promise<void> {
    try {
      await this.#client.connect();
    } catch {
      this.close();
      throw toUnavailable(this.#trouble);
    }
  }

  /** @throws Error what the server said, or unknown why there is no connection. */
  async call(command: string, ...args: (string | Buffer | number)[]): Promise<unknown> {
    try {
      return await this.#client.call(command, ...args);
    } catch (error) {
      throw this.#isOpen ? error : this.#trouble;
    }
  }

  /** As `call`, and texts in the answer are bytes. */
  callBuffer(command: string, ...args: (string | Buffer | number)[]): Promise<unknown> {
    return this.#client.callBuffer(command, ...args);
  }

  /** Closes at once, and for good. Safe twice. */
  close(): void {
    this.#client.disconnect();
  }
}
