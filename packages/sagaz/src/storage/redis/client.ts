/**
 * The part of an ioredis client (`new Redis(…)`) that the storage uses. It is typed by structure, so that the library
 * depends on no driver.
 */
export interface RedisStorageClient {
  /** Makes another client like it, except for these settings. */
  duplicate(settings: RedisStorageSettings): RedisStorageClient;
  connect(): Promise<void>;
  /** Closes; for good, unless it is to connect again. */
  disconnect(reconnect?: boolean): void;
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "ready" | "close", listener: () => void): unknown;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
}

/** What the storage sets on connections of its own, in the words of ioredis. */
export interface RedisStorageSettings {
  readonly lazyConnect: boolean;
  readonly protocol: 2;
  readonly keyPrefix: string;
  readonly connectTimeout: number;
  readonly socketTimeout?: number;
  readonly enableOfflineQueue: boolean;
  readonly enableAutoPipelining: boolean;
  readonly autoResendUnfulfilledCommands: boolean;
  readonly autoResubscribe: boolean;
  readonly maxRetriesPerRequest: number;
  readonly retryStrategy: (tries: number) => number;
  readonly reconnectOnError: (error: Error) => boolean;
}
