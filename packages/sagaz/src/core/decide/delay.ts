import type { RetryPolicy } from "../definition/policies.ts";

/**
 * Delay before the next attempt, in milliseconds: exponential, capped, with "full jitter" (M. Brooker, "Exponential
 * Backoff And Jitter", AWS Architecture Blog 2015). `attempts` have been made; `luck` is in [0, 1).
 */
export function backoff(policy: RetryPolicy, attempts: number, luck: number): number {
  // Bounded, because 0 times infinity is no number.
  const growth = Math.min(policy.factor ** Math.max(0, attempts - 1), Number.MAX_VALUE);
  const exponential = policy.initialMs * growth;
  const capped = Math.min(policy.maxMs, exponential);
  return policy.jitter === "full" ? Math.round(capped * luck) : capped;
}
