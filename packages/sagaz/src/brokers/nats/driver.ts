/**
 * The part of the package `@nats-io/transport-node` that the broker uses. It is typed by structure, so that the library
 * depends on no driver; `Settings` are what its `connect` takes.
 */
export interface NatsDriver<Settings extends object = object> {
  connect(settings?: Settings): Promise<NatsConnection>;
  headers(): NatsHeaders;
}

/** The part of a connection that the broker uses. */
export interface NatsConnection {
  publish(
    subject: string,
    payload?: Uint8Array | string,
    options?: { reply?: string; headers?: NatsHeaders | WrittenHeaders | undefined },
  ): void;
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: NatsMessage) => void },
  ): { unsubscribe(): void };
  flush(): Promise<void>;
  close(): Promise<void>;
  /** Resolves when it is closed, with why. */
  closed(): Promise<unknown>;
}

/** The part of a message that the broker uses. */
export interface NatsMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: NatsHeaders | undefined;
  readonly reply?: string | undefined;
}

/** The part of a message's headers that the broker uses. */
export interface NatsHeaders {
  /** Of an answer: 0, or what went wrong. */
  readonly code: number;
  append(name: string, value: string): void;
  get(name: string): string;
  keys(): string[];
}

/**
 * Headers that are written already: of those that it is to send the driver asks nothing but this. Its own class looks
 * through all that it has for each that is added, which took half as long as everything else about a message.
 */
export interface WrittenHeaders {
  encode(): Uint8Array;
}
