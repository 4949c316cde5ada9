import type { ActionStep, CommandStep, SagaDefinition, StepDefinition } from "./definition.ts";
import { lookup } from "./lookup.ts";
import { longestPath } from "./longest-path.ts";
import type { RetryPolicy } from "./policies.ts";

/**
 * The longest that going forward can take before the saga has ended, goes back, or is parked, if every attempt
 * times out. Time stands still while a saga is paused; crashes and `retryIn` come on top.
 */
export interface WorstCase {
  /** Milliseconds; undefined when some step has no bound. */
  readonly ms: number | undefined;
  /** The chain of steps that takes this long; empty when there is no bound. */
  readonly path: readonly string[];
  /** The steps without a bound: computed sleeps, maps without a `stepTimeoutMs`, and children that have such steps. */
  readonly unbounded: readonly string[];
}

/** Finds the chain of steps that can take longest, and how long. */
export function worstCaseOf({ steps, settleMs }: SagaDefinition): WorstCase {
  const durations = new Map<StepDefinition, number>();
  for (const step of steps) {
    const ms = stepMs(step, settleMs);
    if (ms !== undefined) durations.set(step, ms);
  }
  const unbounded = steps.filter((step) => !durations.has(step)).map(({ name }) => name);
  if (unbounded.length > 0) return { ms: undefined, path: [], unbounded };
  const { length, path } = longestPath(steps, (step) => lookup(durations, step));
  return { ms: length, path, unbounded };
}

/** How long until a step is done, has failed, or parks its saga; undefined when nothing bounds it. */
function stepMs(step: StepDefinition, settleMs: number): number | undefined {
  switch (step.kind) {
    case "action":
      return actionMs(step, settleMs);
    case "map":
      return step.stepTimeoutMs === undefined ? undefined : step.stepTimeoutMs + settleMs;
    case "command":
      return commandMs(step, settleMs);
    case "signal":
      return step.waitMs;
    case "sleep":
      return step.fixedMs;
    case "child":
      return worstCaseOf(step.child).ms;
  }
}

function actionMs(
  {
    retry,
    attemptTimeoutMs,
    stepTimeoutMs,
    verify,
  }: Pick<ActionStep, "retry" | "attemptTimeoutMs" | "stepTimeoutMs" | "verify">,
  settleMs: number,
): number {
  // An attempt that timed out may settle late, and is then asked about.
  const attemptMs = attemptTimeoutMs + settleMs + (verify ? attemptTimeoutMs : 0);
  const { forMs = Number.POSITIVE_INFINITY } = retry;
  return Math.min(
    (stepTimeoutMs ?? Number.POSITIVE_INFINITY) + settleMs,
    forMs + attemptMs,
    retry.maxAttempts * attemptMs + delaysMs(retry),
  );
}

/** A reply that does not come in time is waited for again after each asking, if there is another. */
function commandMs(step: CommandStep, settleMs: number): number {
  const { replyTimeoutMs, waitMs, attemptTimeoutMs } = step;
  if (replyTimeoutMs === undefined) return attemptTimeoutMs + settleMs + waitMs;
  return actionMs({ ...step, attemptTimeoutMs: attemptTimeoutMs + replyTimeoutMs }, settleMs);
}

/** The sum of all delays between attempts, without jitter, which only shortens them: a geometric series up to `maxMs`. */
function delaysMs({ maxAttempts, initialMs, factor, maxMs }: RetryPolicy): number {
  const delays = maxAttempts - 1;
  const steadyMs = factor === 1 ? Math.min(initialMs, maxMs) : maxMs;
  if (initialMs === 0 || steadyMs === 0) return 0;
  const growing = factor === 1 || initialMs >= maxMs ? 0 : Math.log(maxMs / initialMs) / Math.log(factor);
  const grown = Math.min(delays, Math.ceil(growing));
  const grownMs = grown === 0 ? 0 : (initialMs * (factor ** grown - 1)) / (factor - 1);
  return Math.ceil(grownMs) + (delays === grown ? 0 : (delays - grown) * steadyMs);
}
