import type { ActionStep, MapStep, SagaDefinition, StepDefinition } from "./definition.ts";

/** Something that is allowed, and that the author should have meant. */
export interface PlanWarning {
  readonly step: string;
  readonly message: string;
}

/** Lists what a definition allows and its author should have meant. Only what is certain; effects cannot be guessed. */
export function warningsOf(definition: SagaDefinition): PlanWarning[] {
  return definition.steps.flatMap((step) =>
    [unverified(step), timesOut(step), mayLeaveTraces(step)].flatMap((message) =>
      message === undefined ? [] : [{ step: step.name, message }],
    ),
  );
}

function unverified(step: StepDefinition): string | undefined {
  if (step.kind !== "action" && step.kind !== "map") return undefined;
  // What commits with its own record is never in doubt.
  if (step.verify || (step.kind === "action" && step.transactional)) return undefined;
  if (step.role === "pivot") return `the pivot has no verify: ${pivotInDoubt(step)}`;
  if (step.role === "compensatable") return `it has no verify: ${undoInDoubt(step)}`;
  return undefined;
}

function pivotInDoubt({ onUnknown }: ActionStep | MapStep): string {
  return onUnknown === "rerun"
    ? "if an answer is lost it is run again with the same idempotency key, which its receiver must honour; then the saga is parked"
    : "if an answer is lost the saga is parked";
}

function undoInDoubt({ onUnknown }: ActionStep | MapStep): string {
  switch (onUnknown) {
    case "rerun":
      return 'if an answer is lost it is run again with the same idempotency key, which its receiver must honour; then it is undone with ctx.outcome "unknown", where ctx.result cannot be read';
    case "undo":
      return 'if an answer is lost it is undone with ctx.outcome "unknown", where ctx.result cannot be read';
    case "park":
      return "if an answer is lost the saga is parked";
  }
}

function timesOut({ stepTimeoutMs, attemptTimeoutMs }: StepDefinition): string | undefined {
  return stepTimeoutMs !== undefined && stepTimeoutMs < attemptTimeoutMs
    ? `stepTimeoutMs = ${stepTimeoutMs} ends before one attempt may: timeoutMs = ${attemptTimeoutMs}`
    : undefined;
}

function mayLeaveTraces({ onExhausted }: StepDefinition): string | undefined {
  return onExhausted === "continue"
    ? 'onExhausted is "continue": if its compensation keeps failing the saga ends as compensated_with_exceptions, and nobody is asked'
    : undefined;
}
