import { SagaError } from "../../core/errors.ts";

const broker = "NATS";

/** What JetStream answers in place of what was asked for. */
export class RefusedByJetStream extends Error {
  /** JetStream's own number of the error (`err_code`), or {@link nobodyAnswers}. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** A header that cannot be written. */
export class UnwritableHeader extends Error {
  constructor(name: string) {
    super(`"${name}" is no name of a header`);
  }
}

/** No stream takes the subject, or there is no JetStream now. */
export const nobodyAnswers = 503;
export const noSuchStream = 10_059;
export const noSuchMessage = 10_037;
export const streamNameInUse = 10_058;
export const wrongLastSequence = 10_071;
/** Larger than the stream allows; headers larger than it allows. */
const tooLarge = [10_054, 10_097];

/** Tells whether JetStream has answered with one of these errors. */
export function isRefusal(error: unknown, ...codes: number[]): boolean {
  return error instanceof RefusedByJetStream && codes.includes(error.code);
}

/**
 * Turns what a publish failed with into the error that the port promises.
 *
 * Refused is only what will be refused for ever: what the driver will not send (larger than the server allows, a header
 * that cannot be written), and what is larger than the stream allows. All else (a full stream, no leader) may pass.
 */
export function toPublishError(error: unknown, topic: string): SagaError {
  const isUnsendable = error instanceof Error && error.name === "InvalidArgumentError";
  const isBad = isUnsendable || error instanceof UnwritableHeader;
  if (!isBad && !isRefusal(error, ...tooLarge)) return toUnavailable(error);
  return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker, topic, message: messageOf(error) });
}

/** A topic that no stream takes. */
export function toUnknownTopic(topic: string): SagaError {
  return new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker, topic });
}

/** Without its cause, which may hold what the connection was opened with. */
export function toUnavailable(error: unknown): SagaError {
  if (error instanceof SagaError) return error;
  return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker, message: messageOf(error) });
}

/** Connection errors of Node may come as several in one, with an empty message of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}
