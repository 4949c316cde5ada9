/** Where a saga stands. `compensated_with_exceptions`: undone, except for what its exceptions name. */
export type SagaStatus =
  | "pending"
  | "running"
  | "compensating"
  | "parked"
  | "completed"
  | "compensated"
  | "compensated_with_exceptions"
  | "forced_closed";

/** Where a step stands. */
export type StepStatus =
  | "pending"
  | "running"
  | "done"
  | "failed"
  | "maybe_done"
  | "skipped"
  | "compensating"
  | "compensated"
  | "compensation_failed";

/** What an unfinished saga waits for when nothing of it runs. */
export type WaitReason = "start" | "retry" | "signal" | "timer" | "reply" | "child" | "operator";

const ENDED = new Set<SagaStatus>([
  "completed",
  "compensated",
  "compensated_with_exceptions",
  "forced_closed",
]);

/** Tells whether a saga in this status is over (a completed one can still be compensated on request). */
export function isEnded(status: SagaStatus): boolean {
  return ENDED.has(status);
}
