/**
 * The part of an ioredis client (`new Redis(…)`) that the broker uses. It is typed by structure, so that the library
 * depends on no driver.
 */
export interface RedisClient {
  /** Makes another client like it, except for these settings. */
  duplicate(settings: RedisSettings): RedisClient;
  connect(): Promise<void>;
  /** Closes for good. */
  disconnect(): void;
  call(command: string, ...args: (string | Buffer | number)[]): Promise<unknown>;
  /** As `call`, and texts in the answer are bytes. */
  callBuffer(command: string, ...args: (string | Buffer | number)[]): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "ready" | "close", listener: () => void): unknown;
}

/** What the broker sets on connections of its own, in the words of ioredis. */
export interface RedisSettings {
  readonly lazyConnect: boolean;
  readonly protocol: 2;
  readonly keyPrefix: string;
  readonly connectTimeout: number;
  readonly socketTimeout: number;
  readonly enableOfflineQueue: boolean;
  readonly enableAutoPipelining: boolean;
  readonly autoResendUnfulfilledCommands: boolean;
  readonly maxRetriesPerRequest: number;
  readonly retryStrategy: (tries: number) => number;
  readonly reconnectOnError: (error: Error) => boolean;
}
