/** How a connection is to be made: what `connect` of `amqplib` takes as its second argument. */
export interface AmqpSocketOptions {
  /** Milliseconds. */
  readonly timeout: number;
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
}

/**
 * The part of an `amqplib` connection that the broker uses. It is typed by structure, so that the library depends on no
 * driver, and TLS, credentials and hosts are the caller's to choose.
 */
export interface AmqpConnection {
  createChannel(): Promise<AmqpChannel>;
  createConfirmChannel(): Promise<AmqpConfirmChannel>;
  close(): Promise<void>;
  on(event: "error" | "close", listener: (error?: Error) => void): unknown;
  on(event: "blocked", listener: (reason: string) => void): unknown;
  on(event: "unblocked", listener: () => void): unknown;
}

/** The part of an `amqplib` channel that the broker uses. */
export interface AmqpChannel {
  assertExchange(exchange: string, type: string, options: { durable: boolean }): Promise<unknown>;
  assertQueue(
    queue: string,
    options: { durable: boolean; arguments: Record<string, unknown> },
  ): Promise<unknown>;
  bindQueue(queue: string, exchange: string, pattern: string): Promise<unknown>;
  prefetch(count: number): Promise<unknown>;
  /** Null: the server has ended it, as when the queue is deleted. */
  consume(queue: string, onMessage: (delivery: AmqpDelivery | null) => void): Promise<unknown>;
  ack(delivery: { fields: { deliveryTag: number } }, allUpTo: boolean): void;
  close(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close", listener: () => void): unknown;
}

/** A channel that answers each message that it was given. */
export interface AmqpConfirmChannel extends AmqpChannel {
  publish(
    exchange: string,
    routingKey: string,
    content: Uint8Array,
    options: AmqpPublishOptions,
    callback: (error: Error | null) => void,
  ): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  on(event: "return", listener: (returned: AmqpReturned) => void): unknown;
}

/** What is said about a message that is published. */
export interface AmqpPublishOptions {
  readonly messageId: string;
  readonly headers: Record<string, string>;
  readonly persistent: boolean;
  readonly mandatory: boolean;
}

/** A message that the server handed over. */
export interface AmqpDelivery {
  readonly content: Uint8Array;
  readonly fields: { readonly deliveryTag: number };
  readonly properties: { readonly headers: Record<string, unknown> | undefined };
}

/** A message that the server could not route. */
export interface AmqpReturned {
  readonly properties: { readonly messageId: unknown };
}
