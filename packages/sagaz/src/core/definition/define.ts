import { DEFAULTS } from "./policies.ts";
import type { RetryPolicy } from "./policies.ts";
import type {
  CommandStep,
  MapStep,
  SagaDefinition,
  SleepStep,
  StepDefinition,
  StepRole,
} from "./definition.ts";
import { isCompensatable, isPivot } from "./draft.ts";
import type { SagaDraft, StepDraft } from "./draft.ts";
import { checkDefinition } from "./check.ts";
import { ancestorsOf, buildGraph, findCycle, inDependencyOrder, undoOrder } from "./graph.ts";
import { hashGraph } from "./hash.ts";
import { lookup } from "./lookup.ts";
import { SagaError } from "../errors.ts";

/**
 * Checks a draft by every rule of definitions and makes the immutable {@link SagaDefinition}.
 *
 * @throws SagaError with the code of the first rule that is broken (`docs/reference/errors.md`).
 */
export function define(written: SagaDraft): SagaDefinition {
  const draft = inSequence(written);
  checkDefinition(draft);
  const { options } = draft;
  const steps = inDependencyOrder(draft.steps).map(toStepOf(draft));
  checkUndoOrder(draft.name, steps);
  const settled = {
    name: draft.name,
    version: options.version ?? 1,
    // Lists are read-only by their types alone: every turn of every saga walks them, and V8 walks a frozen one five times
    // slower, with an object for each element.
    steps,
    pivot: draft.steps.find(isPivot)?.name,
    strategy: options.strategy ?? DEFAULTS.strategy,
    graceMs: options.graceMs ?? DEFAULTS.graceMs,
    settleMs: options.settleMs ?? DEFAULTS.settleMs,
    timeoutMs: options.timeoutMs,
    inFlightMax: options.inFlightMax,
    inputSchema: draft.input,
    output: draft.output,
  };
  return Object.freeze({ ...settled, graph: buildGraph(steps), graphHash: hashGraph(settled) });
}

/** With `sequential`, a step that names no dependencies depends on the one written before it. */
function inSequence(draft: SagaDraft): SagaDraft {
  if (!draft.options.sequential) return draft;
  const steps = draft.steps.map((step, i) => {
    const previous = draft.steps[i - 1];
    return step.dependsOn || !previous ? step : { ...step, dependsOn: [previous.name] };
  });
  return { ...draft, steps };
}

/** Undo edges of the author's own may turn back on those of the graph; only the roles tell. */
function checkUndoOrder(saga: string, steps: readonly StepDefinition[]): void {
  if (steps.every((step) => step.undoAfter.length === 0)) return; // the reverse of a graph without cycles has none
  const before = undoOrder(steps, ancestorsOf(steps));
  const cycle = findCycle(before.keys(), (name) => lookup(before, name));
  if (cycle) throw new SagaError("SAGAZ_COMPENSATION_CYCLE", { saga, path: cycle.join(" → ") });
}

/** Returns the function that settles each step of a draft; call it in dependency order. */
function toStepOf(draft: SagaDraft): (step: StepDraft) => StepDefinition {
  const pivotOrAfter = new Set<string>();
  return (step) => {
    const afterPivot = (step.dependsOn ?? []).some((name) => pivotOrAfter.has(name));
    const role = roleOf(step, afterPivot);
    if (afterPivot || role === "pivot") pivotOrAfter.add(step.name);
    return toStep(step, { role, sagaRetry: draft.options.retry });
  };
}

function roleOf(step: StepDraft, afterPivot: boolean): StepRole {
  if (isPivot(step)) return "pivot";
  if (afterPivot) return "retriable"; // a child too: nothing that comes after the pivot is ever undone
  return isCompensatable(step) ? "compensatable" : "plain";
}

interface Place {
  readonly role: StepRole;
  readonly sagaRetry: Partial<RetryPolicy> | undefined;
}

function toStep(step: StepDraft, { role, sagaRetry }: Place): StepDefinition {
  const { options, undo } = step;
  const base = {
    name: step.name,
    role,
    dependsOn: unique(step.dependsOn),
    undoAfter: unique(undo?.options.after),
    retry:
      role === "retriable"
        ? policy(DEFAULTS.retriableRetry, options.retry)
        : policy(DEFAULTS.retry, sagaRetry, options.retry),
    undoRetry: policy(DEFAULTS.undoRetry, undo?.options.retry),
    attemptTimeoutMs: options.timeoutMs ?? DEFAULTS.attemptTimeoutMs,
    stepTimeoutMs: options.stepTimeoutMs,
    onUnknown: options.onUnknown ?? DEFAULTS.onUnknown,
    onExhausted: undo?.options.onExhausted ?? DEFAULTS.onExhausted,
    resultSchema: options.result,
  };
  return Object.freeze({ ...base, ...workOf(step) });
}

/** What every step has, whatever its kind. */
type Base = { [Key in keyof StepDefinition]: StepDefinition[Key] };

/** The part of a step that its kind decides. */
type WorkOf<Step> = Step extends StepDefinition ? Omit<Step, Exclude<keyof Base, "kind">> : never;

function workOf({ work, undo }: StepDraft): WorkOf<StepDefinition> {
  const run = undo?.run;
  switch (work.kind) {
    case "action":
      return { ...work, undo: run, verify: work.verify };
    case "map":
      return mapOf(work, run);
    case "command":
      return commandOf(work, run);
    case "signal":
      return { ...work, waitMs: work.waitMs ?? DEFAULTS.signalTimeoutMs };
    case "sleep":
      return sleepOf(work.forMs);
    case "child":
      return work;
  }
}

function mapOf(work: Extract<StepDraft["work"], { kind: "map" }>, undo: MapStep["undo"]): WorkOf<MapStep> {
  const { verify, concurrency = DEFAULTS.mapConcurrency } = work;
  return { ...work, undo, verify, concurrency };
}

function commandOf(
  work: Extract<StepDraft["work"], { kind: "command" }>,
  undo: CommandStep["undo"],
): WorkOf<CommandStep> {
  const { verify, replyTimeoutMs, waitMs = DEFAULTS.replyWaitMs } = work;
  return { ...work, undo, verify, replyTimeoutMs, waitMs };
}

function sleepOf(forMs: number | SleepStep["forMs"]): WorkOf<SleepStep> {
  return typeof forMs === "function"
    ? { kind: "sleep", forMs, fixedMs: undefined }
    : { kind: "sleep", forMs: () => forMs, fixedMs: forMs };
}

/** Lays partial policies over a whole one; a key that is there but undefined changes nothing. */
function policy(base: RetryPolicy, ...changes: readonly (Partial<RetryPolicy> | undefined)[]): RetryPolicy {
  const set = changes.flatMap((change) =>
    Object.entries(change ?? {}).filter(([, value]) => value !== undefined),
  );
  return Object.freeze({ ...base, ...Object.fromEntries(set) });
}

function unique(names: readonly string[] = []): readonly string[] {
  return [...new Set(names)];
}
