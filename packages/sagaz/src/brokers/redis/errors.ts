import { SagaError } from "../../core/errors.ts";

const broker = "Redis";

/**
 * Turns what a call failed with into the error that the port promises for a message of this topic.
 *
 * Refused is only what will be refused for ever: something else is kept under the topic's key. All other answers (no
 * memory, a replica, loading, the disk, rights that are missing) may change without any change to the message, and a
 * lost answer says nothing.
 */
export function toPublishError(error: unknown, topic: string): SagaError {
  return isWrongType(error) ? toRefused(topic, messageOf(error)) : toUnavailable(error);
}

/** The same for a subscription. */
export function toSubscribeError(error: unknown, topic: string): SagaError {
  return isWrongType(error) ? new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker, topic }) : toUnavailable(error);
}

/** A message that is refused for good. */
export function toRefused(topic: string, message: string): SagaError {
  return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker, topic, message });
}

/** Without its cause: the driver's errors carry the command, and with it a password or all messages of a batch. */
export function toUnavailable(error: unknown): SagaError {
  return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker, message: messageOf(error) });
}

/** Connection errors of Node may come as several in one, with an empty message of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}

function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("WRONGTYPE");
}
