import type { SagaDefinition, StepDefinition } from "../../core/definition/definition.ts";
import { fold } from "../../core/saga/evolve.ts";
import { itemKey } from "../../core/saga/state.ts";
import type { SagaState } from "../../core/saga/state.ts";
import { isEnded } from "../../core/saga/status.ts";
import { fromStored } from "../../runtime/entry.ts";
import type { History } from "./history.ts";
import type { StepCall } from "./step-calls.ts";
import { short } from "./watched-storage.ts";
import type { WatchedStorage } from "./watched-storage.ts";

/** What the laws of attempts look at. */
export interface AttemptScene {
  readonly storage: WatchedStorage;
  readonly history: History;
}

/** The worker that makes a call. */
export interface Caller {
  readonly epoch: number;
}

/** The laws of what may begin, judged by what is on record at the moment when the engine calls. */
export function judgeAttempt(call: StepCall, caller: Caller, scene: AttemptScene): void {
  if (call.kind === "do") judgeAction(call, caller, scene);
  if (call.kind === "undo") judgeUndo(call, caller, scene);
}

function judgeAction(call: StepCall, caller: Caller, scene: AttemptScene): void {
  const { step, ctx } = call;
  const { storage, history } = scene;
  const what = `${ctx.step} of ${short(ctx.sagaId)}`;
  for (const name of step.dependsOn) {
    if (!storage.isSatisfied(ctx.sagaId, name))
      history.breach("an attempt starts only on what is on record", `${what} began before ${name} was`);
  }
  if (step.role === "pivot" && !storage.journal(ctx.sagaId).some(({ type }) => type === "pivot_started"))
    history.breach("the pivot's start is on record before its first attempt", what);
  if (step.kind === "map" && !isListed(call, storage))
    history.breach("an attempt starts only on what is on record", `${what} began before its list was`);
  // A worker that does not know yet that it lost the saga is a zombie: its call carries the same key.
  if (!storage.isOwner(caller.epoch, ctx.sagaId)) return;
  judgePause(call, scene);
  if (storage.isDone(ctx.sagaId, ctx.step)) history.breach("no recorded result is recomputed", what);
  if (storage.journal(ctx.sagaId).some(({ type }) => type === "compensation_started"))
    history.breach("nothing is done once compensation has started", what);
}

function isListed({ ctx, step }: StepCall, storage: WatchedStorage): boolean {
  const journal = storage.journal(ctx.sagaId);
  return journal.some((event, i) =>
    i === 0 ? event.data.includes('"items"') : event.type === "map_listed" && event.step === step.name,
  );
}

function judgeUndo(call: StepCall, caller: Caller, scene: AttemptScene): void {
  const { ctx, definition, step } = call;
  const { storage, history } = scene;
  const what = `${ctx.step} of ${short(ctx.sagaId)}`;
  const state = fold(ctx.sagaId, storage.journal(ctx.sagaId).map(fromStored));
  if (state.pivotStartedSeq !== undefined)
    history.breach("nothing is undone once the pivot may have happened", what);
  if (state.compensationSeq === 0)
    history.breach("compensation is on record before the first undo", `undo of ${what}`);
  if (!storage.isOwner(caller.epoch, ctx.sagaId)) return;
  for (const later of mustBeUndoneBefore(definition, step)) {
    const open = openKeys(state, later).filter((key) => !isChildDone({ state, key, storage }));
    if (open.length > 0)
      history.breach(
        "undo follows the reverse of the dependency order",
        `${what} was undone before ${open[0]}`,
      );
  }
  judgePause(call, scene);
  if (isEnded(state.status)) history.breach("nothing is undone after the end", what);
}

/** Its owner may act on a request to resume before that is on record: lost, the request would be there to be read again. */
function judgePause({ ctx, kind }: StepCall, { storage, history }: AttemptScene): void {
  if (!storage.row(ctx.sagaId)?.paused || storage.isAsked(ctx.sagaId, "resume")) return;
  history.breach("nothing begins in a paused saga", `${kind} ${ctx.step} of ${short(ctx.sagaId)}`);
}

/**
 * Names of the steps whose undo has to come first: all that could see this one's result, and those that its author
 * named. Computed from the edges alone, because the engine's own order is what is judged.
 */
export function mustBeUndoneBefore(definition: SagaDefinition, step: StepDefinition): ReadonlySet<string> {
  const later = new Set<string>();
  for (let before = -1; before !== later.size;) {
    before = later.size;
    for (const { name, dependsOn } of definition.steps)
      if (dependsOn.some((other) => other === step.name || later.has(other))) later.add(name);
  }
  const undoable = definition.steps.filter(({ role }) => role === "compensatable").map(({ name }) => name);
  return new Set([...undoable.filter((name) => later.has(name)), ...step.undoAfter]);
}

/** Steps or items of this name that were or may have been done, and are not undone on record. */
function openKeys(state: SagaState, name: string): string[] {
  const step = state.steps.get(name);
  const items = (step?.itemStates ?? []).map((item, index) => [itemKey(name, index), item?.status] as const);
  const own = items.length > 0 || step?.items ? [] : ([[name, step?.status]] as const);
  return [...own, ...items]
    .filter(([, status]) => status === "done" || status === "maybe_done")
    .map(([key]) => key);
}

function isChildDone({
  state,
  key,
  storage,
}: {
  state: SagaState;
  key: string;
  storage: WatchedStorage;
}): boolean {
  const childId = state.steps.get(key)?.childId;
  return childId !== undefined && storage.row(childId)?.status === "compensated";
}
