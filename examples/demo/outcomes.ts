import type { SagaResult, UnwindCause } from "sagaz";
import type { PlacedOrder } from "./order-book.ts";
import type { Screen } from "./screen.ts";

/** One line for people: which order, how it ended, and why. */
export function describeOutcome(order: PlacedOrder, result: SagaResult<unknown>, screen: Screen): string {
  const status = result.status === "compensated" ? "undone" : result.status;
  const text = `  ${screen.mark(result.status)} ${order.number}  ${order.customer.padEnd(20)} ${status.padEnd(10)}`;
  return `${text} ${reason(result)}`.trimEnd();
}

function reason({ status, failure, parked, compensationErrors }: SagaResult<unknown>): string {
  if (parked) {
    const error = compensationErrors.find(({ step }) => step === parked.step)?.error.message;
    return `${parked.reason} at ${parked.step ?? "no step"}${error ? `: ${error}` : ""}`;
  }
  return status === "completed" || !failure ? "" : describeFailure(failure);
}

function describeFailure(failure: UnwindCause): string {
  switch (failure.kind) {
    case "step":
      return `${failure.step}: ${failure.error.message}`;
    case "timeout":
      return "took too long";
    case "cancel":
      return `cancelled by ${failure.actor}: ${failure.reason}`;
  }
}
