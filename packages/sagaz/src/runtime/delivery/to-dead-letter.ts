import { createHash } from "node:crypto";
import { fromMessage } from "../../core/delivery/envelope.ts";
import type { SagaError } from "../../core/errors.ts";
import type { ReceivedMessage } from "../../ports/broker.ts";
import type { ConsumersDeadLetter } from "../../ports/dead-letters.ts";

/** As of any event of ours: a longer one has no place in an index. */
const ID_LENGTH_MAX = 200;

/** A message that its consumer gives up, as it is kept for people. */
export function toDeadLetter(
  { received, attempts }: { readonly received: ReceivedMessage; readonly attempts: number },
  around: {
    readonly error: SagaError;
    readonly consumerName: string;
    readonly now: number;
    readonly newId: () => string;
  },
): ConsumersDeadLetter {
  const { error, consumerName, now, newId } = around;
  const { event: carried, createdAt = now } = fromMessage(received);
  const event = { ...carried, eventId: toId(carried.eventId, newId) };
  const cause = error.cause instanceof Error ? error.cause : error;
  const stack = cause.stack ?? null;
  return { consumerName, event, createdAt, attempts, code: error.code, error: error.message, stack };
}

/** Without an id of its own a message would pass for any other one that has none. */
function toId(eventId: string, newId: () => string): string {
  if (eventId === "") return `without-id-${newId()}`;
  if (eventId.length <= ID_LENGTH_MAX) return eventId;
  return `${eventId.slice(0, 100)}…${createHash("sha256").update(eventId).digest("hex")}`;
}
