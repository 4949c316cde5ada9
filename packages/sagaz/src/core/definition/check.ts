import { SagaError } from "../errors.ts";
import { checkSagaOptions, checkStepOptions } from "./check-options.ts";
import { checkName } from "./check-name.ts";
import { isCompensatable, isPivot } from "./draft.ts";
import type { SagaDraft, StepDraft, UndoDraft } from "./draft.ts";
import { ancestorsOf, findCycle, inDependencyOrder } from "./graph.ts";
import { lookup } from "./lookup.ts";
import { LIMITS } from "./policies.ts";
import { didYouMean } from "./suggest.ts";

/**
 * Checks a draft by every rule of definitions, in an order in which each rule may rely on those before it.
 *
 * @throws SagaError with the code of the first rule that is broken.
 */
export function checkDefinition(draft: SagaDraft): void {
  checkName("saga", draft.name);
  checkSteps(draft);
  checkDependencies(draft);
  checkCompensations(draft);
  checkPivot(draft);
  checkSagaOptions(draft);
  for (const step of draft.steps) checkStepOptions(step, draft.name);
}

function checkSteps({ name: saga, steps }: SagaDraft): void {
  if (steps.length === 0) throw new SagaError("SAGAZ_EMPTY_SAGA", { saga });
  if (steps.length > LIMITS.stepsMax) {
    throw new SagaError("SAGAZ_INVALID_OPTION", {
      where: `saga "${saga}"`,
      option: "the number of steps",
      value: steps.length,
      rule: `it must be at most stepsMax = ${LIMITS.stepsMax}: move some into a child saga`,
    });
  }
  const seen = new Set<string>();
  for (const { name: step, work } of steps) {
    checkName("step", step);
    if (work.kind === "signal") checkName("signal", work.signal);
    if (work.kind === "command") checkName("command", work.command);
    if (seen.has(step)) throw new SagaError("SAGAZ_DUPLICATE_STEP", { saga, step });
    seen.add(step);
  }
}

function checkDependencies({ name: saga, steps }: SagaDraft): void {
  const byName = new Map(steps.map((step) => [step.name, step]));
  for (const { name: step, dependsOn = [] } of steps) {
    for (const dependency of dependsOn) {
      if (byName.has(dependency)) continue;
      const hint = didYouMean(dependency, byName.keys());
      throw new SagaError("SAGAZ_UNKNOWN_DEPENDENCY", { saga, step, dependency, hint });
    }
  }
  const cycle = findCycle(byName.keys(), (name) => byName.get(name)?.dependsOn ?? []);
  if (cycle) throw new SagaError("SAGAZ_DEPENDENCY_CYCLE", { saga, path: cycle.join(" → ") });
}

function checkCompensations({ name: saga, steps }: SagaDraft): void {
  const undoable = new Set(steps.filter(isCompensatable).map(({ name }) => name));
  const names = new Set(steps.map(({ name }) => name));
  for (const step of steps) {
    if (!step.undo) continue;
    checkCanHaveUndo(step, saga);
    checkUndoAfter(step.undo, { saga, step: step.name, undoable, names });
  }
}

function checkCanHaveUndo({ name: step, work }: StepDraft, saga: string): void {
  if (work.kind === "action" || work.kind === "command" || work.kind === "map") return;
  const why = work.kind === "child" ? "is undone by compensating the child" : "leaves nothing to undo";
  throw new SagaError("SAGAZ_UNKNOWN_COMPENSATION", { saga, step, hint: ` A ${work.kind} step ${why}.` });
}

interface UndoPlace {
  readonly saga: string;
  readonly step: string;
  readonly undoable: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
}

function checkUndoAfter({ options }: UndoDraft, { saga, step, undoable, names }: UndoPlace): void {
  for (const other of options.after ?? []) {
    if (undoable.has(other)) continue;
    const why = names.has(other) ? "has no compensation" : "does not exist";
    const hint = names.has(other) ? "" : didYouMean(other, undoable);
    throw new SagaError("SAGAZ_UNKNOWN_UNDO_ORDER", { saga, step, other, why, hint });
  }
}

/** At most one pivot, and everything that can be undone is done before it: so the pivot never has company to undo. */
function checkPivot({ name: saga, steps }: SagaDraft): void {
  const [pivot, second] = steps.filter(isPivot);
  if (!pivot) return;
  if (second) throw new SagaError("SAGAZ_TWO_PIVOTS", { saga, first: pivot.name, second: second.name });
  if (pivot.undo) throw new SagaError("SAGAZ_PIVOT_COMPENSATION", { saga, step: pivot.name });
  const ancestors = ancestorsOf(inDependencyOrder(steps));
  const isBefore = (a: StepDraft, b: StepDraft) => lookup(ancestors, b.name).has(a.name);
  const misplaced = steps.find((step) => {
    if (!isCompensatable(step) || isBefore(step, pivot)) return false;
    // A child without a pivot of its own may follow the pivot: then it is just never undone.
    return step.work.kind !== "child" || !isBefore(pivot, step);
  });
  if (misplaced)
    throw new SagaError("SAGAZ_MISPLACED_PIVOT", { saga, step: misplaced.name, pivot: pivot.name });
}
