import type { SagaError } from "../core/errors.ts";

/**
 * What sagaz needs from a message broker. One contract, kept by every adapter and checked by the rules in
 * `sagaz/testing`.
 *
 * Delivery is at least once: what is published may arrive twice, and what was handed over may come again until it is
 * acknowledged. Messages with one topic and key are accepted, and handed over for the first time, in the order in which
 * they were published. No error, notice or log line shows a password.
 */
export interface MessageBroker extends MessageOutlet, MessageInlet {}

/** What the ways in and out have in common. */
interface Connection {
  /** For messages: "Kafka", "memory". */
  readonly name: string;
  /**
   * Connects. A connection that is lost later is opened again by the adapter itself, for as long as it takes. Safe twice,
   * and again after a failure.
   *
   * @throws SagaError `SAGAZ_BROKER_UNAVAILABLE` when there is no answer in time, or the login is refused.
   */
  start(): Promise<void>;
  /** Ends subscriptions, lets publishing under way finish for a moment, disconnects. Safe twice and before start. */
  stop(): Promise<void>;
  /** Asks the broker for a sign of life; never rejects. */
  health(): Promise<BrokerHealth>;
}

/** The way out: what relays need of a broker. */
export interface MessageOutlet extends Connection {
  /** Topics may be URLs, to which it posts. Each may be slow, or away, by itself. */
  readonly posts?: boolean;
  /**
   * Publishes, and answers for each message, in their order, undefined once the broker has it safe by its own measure,
   * or why not:
   * - retryable (`SAGAZ_BROKER_UNAVAILABLE`): an outage, or an answer that was lost; the message may have been accepted;
   * - retryable (`SAGAZ_BROKER_HELD_BACK`): not sent, because one before it with its topic and key was not accepted;
   * - retryable (`SAGAZ_DESTINATION_UNAVAILABLE`, for a URL only): an outage of that URL alone; in its details the `status`
   *   that was answered, if any was;
   * - else (`SAGAZ_MESSAGE_REFUSED`, `SAGAZ_UNKNOWN_TOPIC`): the broker will not have this one; it was not accepted.
   *
   * Of one topic and key the broker accepts a prefix of the call, never a message after one that it did not accept. Calls
   * under way at the same time have no order between them. Messages are the caller's to change again once it has answered.
   *
   * @throws SagaError `SAGAZ_NOT_STARTED`, `SAGAZ_STOPPED`: nothing was sent.
   */
  publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]>;
}

/** The way in: what inboxes, and participants, need of a broker. */
export interface MessageInlet extends Connection {
  /**
   * Begins to receive. Of all subscriptions of a group, in whatever process, one at a time gets the messages of a topic
   * and key; if it stops or dies, another one goes on with what was not acknowledged. A new group begins with the oldest
   * message that the broker keeps; a queue keeps what comes from the first subscription of its group on.
   *
   * @throws SagaError `SAGAZ_NOT_STARTED`, `SAGAZ_STOPPED`, `SAGAZ_BROKER_UNAVAILABLE`, `SAGAZ_UNKNOWN_TOPIC`.
   */
  subscribe(options: SubscribeOptions): Promise<Subscription>;
}

/** One message as it crosses a broker. */
export interface BrokerMessage {
  readonly topic: string;
  /** Messages of one topic with the same key keep their order. */
  readonly key: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as it is; a text as UTF-8. */
  readonly payload: string | Uint8Array;
}

/** A message that was handed over. The object itself is what is acknowledged. */
export interface ReceivedMessage extends BrokerMessage {
  readonly payload: Uint8Array;
}

/** What to receive, and how. */
export interface SubscribeOptions {
  /** Each message goes to one subscription of a group; every group gets every message. */
  readonly group: string;
  readonly topics: readonly string[];
  /** So many messages at most are handed over and not yet acknowledged. */
  readonly unackedMax: number;
  /** Called with messages in the order of their arrival. What it throws is dropped, and the messages stay unacknowledged. */
  readonly handle: (messages: readonly ReceivedMessage[]) => void;
}

/** Messages on their way to one receiver. */
export interface Subscription {
  /**
   * These need not come again; in any order. A message whose connection was lost meanwhile may come again all the same, as
   * one may that was acknowledged after another one that was not.
   */
  ack(messages: readonly ReceivedMessage[]): void;
  /** Hands over nothing more, sends the acknowledgements that it has, and leaves the rest to others of its group. Safe twice. */
  stop(): Promise<void>;
}

/** See `health()` of a broker. */
export interface BrokerHealth {
  readonly isUp: boolean;
  /** What is wrong, for people. */
  readonly detail?: string;
}
