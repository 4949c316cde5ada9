import type { StepDefinition } from "../definition/definition.ts";
import type { FailureStrategy } from "../definition/policies.ts";
import { isHalted } from "./view.ts";
import type { View } from "./view.ts";

/**
 * The strategy in force. A cancel or a time-out wants the saga to go back soon: waiting for everything that could
 * still be done would do the opposite.
 */
export function strategyOf(view: View): FailureStrategy {
  const { strategy } = view.definition;
  if (strategy === "WAIT_ALL" && view.state.failure?.kind !== "step") return "FAIL_FAST_WITH_GRACE";
  return strategy;
}

/** True when an attempt of this step may begin, now or after its delay, as far as the saga as a whole is concerned. */
export function mayStillStart(view: View, step: StepDefinition): boolean {
  if (view.state.direction !== "forward") return false;
  if (!view.state.failure) return true;
  // A saga that will go back must not pass its point of no return, however independent that is.
  return strategyOf(view) === "WAIT_ALL" && step.role !== "pivot";
}

/** True when an attempt of this step may begin at this moment. */
export function mayStartNow(view: View, step: StepDefinition): boolean {
  return !isHalted(view) && mayStillStart(view, step);
}
