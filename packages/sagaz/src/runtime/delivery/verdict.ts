import type { SagaError } from "../../core/errors.ts";
import type { DeadEvent, FailedEvent, PendingEvent } from "../../ports/outbox.ts";
import { toNotice } from "./to-notice.ts";

/** What a topic's poison does: an event that the broker refuses for good, however often it is tried. */
export type PoisonPolicy = "dead-letter" | "block-key";

/** How refusals are met. */
export interface RefusalPolicy {
  /** An event that was refused so often is given up. */
  readonly attemptsMax: number;
  readonly onPoison: (topic: string) => PoisonPolicy;
  /** 0 to 1, for the jitter. */
  readonly luck: () => number;
}

/** What a batch came to. */
export interface BatchVerdict {
  readonly sent: number[];
  readonly failed: FailedEvent[];
  readonly dead: DeadEvent[];
  /** Not the events' fault: they are sent again as they are. */
  outage: SagaError | undefined;
}

/** Delay after the first refusal, and the longest one. */
const RETRY_MS = { first: 500, most: 60_000 };

/** Sorts a batch by what the broker said of each event. An outage is never counted against an event. */
export function judgeBatch(
  events: readonly PendingEvent[],
  answers: readonly (SagaError | undefined)[],
  policy: RefusalPolicy,
): BatchVerdict {
  const verdict: BatchVerdict = { sent: [], failed: [], dead: [], outage: undefined };
  for (const [n, event] of events.entries()) {
    const answer = answers[n];
    if (!answer) verdict.sent.push(event.id);
    else if (!answer.retryable) refuse(verdict, event, { answer, policy });
    else if (answer.code !== "SAGAZ_BROKER_HELD_BACK") verdict.outage = answer;
  }
  return verdict;
}

function refuse(
  verdict: BatchVerdict,
  event: PendingEvent,
  { answer, policy }: { readonly answer: SagaError; readonly policy: RefusalPolicy },
): void {
  const { id, topic, attempts: before } = event;
  const attempts = before + 1;
  const error = answer.message;
  if (attempts >= policy.attemptsMax && policy.onPoison(topic) === "dead-letter") {
    const why = { code: answer.code, error };
    verdict.dead.push({ id, attempts, ...why, mail: toNotice(event, why) });
    return;
  }
  const growing = RETRY_MS.first * 2 ** Math.min(before, 20);
  // At least half of it, so that a key that is refused again and again costs little.
  const delayMs = Math.round(Math.min(growing, RETRY_MS.most) * (0.5 + policy.luck() / 2));
  verdict.failed.push({ id, attempts, delayMs, error });
}
