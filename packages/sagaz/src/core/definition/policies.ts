/** How failed attempts are repeated. Delays are in milliseconds. */
export interface RetryPolicy {
  /** Attempts in all, the first included. `Infinity` is allowed when `forMs` bounds the time. */
  readonly maxAttempts: number;
  /** Delay before the second attempt. */
  readonly initialMs: number;
  /** Each further delay is this many times longer. */
  readonly factor: number;
  /** No delay is longer. */
  readonly maxMs: number;
  /** `full`: a random part of the delay, which keeps many sagas from retrying in step; `none`: exactly the delay. */
  readonly jitter: "full" | "none";
  /** No retry begins later than this after the step became ready. */
  readonly forMs?: number;
  /** Answers false for errors that trying again cannot mend. Not asked about `fail(…)`, which is always final. */
  readonly when?: (error: unknown) => boolean;
}

/** What happens to steps in flight when a step finally fails: see `docs/explanation/semantics.md`. */
export type FailureStrategy = "FAIL_FAST" | "WAIT_ALL" | "FAIL_FAST_WITH_GRACE";

/** What to do when nobody knows whether an attempt took effect and `verify` does not tell. */
export type OnUnknown = "rerun" | "undo" | "park";

/** What to do when a compensation has used all its attempts. */
export type OnExhausted = "park" | "continue";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The policies of a definition that sets none, and the limits of every saga. */
export const DEFAULTS = {
  retry: { maxAttempts: 3, initialMs: 100, factor: 2, maxMs: 30 * SECOND, jitter: "full" },
  /** After the pivot: forward only, for a day, then parked. */
  retriableRetry: {
    maxAttempts: Number.POSITIVE_INFINITY,
    initialMs: 100,
    factor: 2,
    maxMs: MINUTE,
    jitter: "full",
    forMs: DAY,
  },
  undoRetry: { maxAttempts: 10, initialMs: 100, factor: 2, maxMs: MINUTE, jitter: "full" },
  attemptTimeoutMs: MINUTE,
  strategy: "FAIL_FAST_WITH_GRACE",
  graceMs: 2 * SECOND,
  settleMs: 5 * SECOND,
  onUnknown: "rerun",
  onExhausted: "park",
  signalTimeoutMs: 7 * DAY,
  replyWaitMs: 7 * DAY,
  mapConcurrency: 10,
} as const satisfies {
  retry: RetryPolicy;
  retriableRetry: RetryPolicy;
  undoRetry: RetryPolicy;
  strategy: FailureStrategy;
  onUnknown: OnUnknown;
  onExhausted: OnExhausted;
  [limit: string]: unknown;
};

/** Limits that no definition can raise. */
export const LIMITS = {
  /** Items of one map step. */
  mapItemsMax: 10_000,
  /** Signals that arrived and were not consumed yet, per saga. */
  signalsWaitingMax: 1_000,
  /** Steps of one definition. */
  stepsMax: 1_000,
  /** Characters of a name. */
  nameLengthMax: 200,
  /** Characters of an idempotency key, a tenant or a correlation id. */
  keyLengthMax: 500,
  /** One attempt, or a wait that sits in memory (grace, settling). Milliseconds. */
  attemptTimeoutMsMax: DAY,
  /** Any other time an author can set. Milliseconds. */
  durationMsMax: 3_650 * DAY,
  /** The highest version of a definition: what an `integer` of SQL holds. */
  versionMax: 2_147_483_647,
  /** Characters kept of an error's message and of its stack. */
  errorTextMax: 2_000,
  /** Of the JSON text of a failure's details, in UTF-8. */
  errorDetailsBytesMax: 16_384,
  /** A delay longer than this is written down; a shorter one sits in memory. Milliseconds. */
  memoryDelayMsMax: 5 * SECOND,
  /** A new saga's id may be off the database's clock by this much. Milliseconds. */
  idSkewMsMax: 5 * MINUTE,
  /** Adoptions after crashes without progress before the saga runs alone, and before it is parked. */
  adoptionsBeforeAlone: 3,
  adoptionsMax: 5,
} as const;
