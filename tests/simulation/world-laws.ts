import type { SagaDefinition } from "../../packages/sagaz/src/core/definition/definition.ts";
import { fold } from "../../packages/sagaz/src/core/saga/evolve.ts";
import type { JournalEntry } from "../../packages/sagaz/src/core/saga/events.ts";
import { fromKey } from "../../packages/sagaz/src/core/saga/state.ts";
import type { SagaState, StepState } from "../../packages/sagaz/src/core/saga/state.ts";
import { fromStored } from "../../packages/sagaz/src/runtime/entry.ts";
import type { Simulation } from "../../packages/sagaz/src/testing/simulator/simulation.ts";
import type { StepCall } from "../../packages/sagaz/src/testing/simulator/step-calls.ts";
import { mustBeUndoneBefore } from "../../packages/sagaz/src/testing/simulator/attempt-laws.ts";
import { short } from "../../packages/sagaz/src/testing/simulator/watched-storage.ts";
import type { RequestNote } from "./operator.ts";
import type { Effect, Participants } from "./participants.ts";

/** The laws about what really happened in the world, beside those about what is on record. */
export interface World {
  readonly simulation: Simulation;
  readonly participants: Participants;
  readonly requests: readonly RequestNote[];
  readonly definitions: ReadonlyMap<string, SagaDefinition>;
  /** Results, as JSON, of actions of which a process that stayed alive has heard that they were done. */
  readonly heard: ReadonlySet<string>;
}

/** Judges a world at rest. */
export function judgeWorld(world: World): void {
  const states = new Map<string, SagaState>();
  for (const { sagaId } of world.simulation.storage.rows) {
    try {
      states.set(sagaId, fold(sagaId, journalOf(world, sagaId)));
    } catch {
      // A journal that cannot be read is a breach of its own.
    }
  }
  for (const effect of world.participants.effects.values()) judgeEffect(effect, { world, states });
  for (const state of states.values()) resultsAreReal(state, world);
  for (const request of world.requests) judgeRequest(request, world);
}

function journalOf({ simulation }: World, sagaId: string): JournalEntry[] {
  return simulation.storage.journal(sagaId).map(fromStored);
}

interface Case {
  readonly world: World;
  readonly states: ReadonlyMap<string, SagaState>;
}

function judgeEffect(effect: Effect, { world, states }: Case): void {
  const state = states.get(heirOf(effect, states));
  const { history } = world.simulation;
  if (!state) return;
  const step = stepOf(world, state, effect.step);
  if (
    step?.role === "compensatable" &&
    isUndoneSaga(state) &&
    effect.present &&
    isHeldAgainst(effect, { world, state })
  ) {
    history.breach(
      "no effect stays without its undo",
      `${effect.step} of ${short(state.sagaId)} (${state.status}), ${effect.key}`,
    );
  }
  if (state.status === "completed" && !effect.present && recordedAsDone(state, effect))
    history.breach("nothing of a completed saga is undone", `${effect.step} of ${short(state.sagaId)}`);
}

/** A fork takes over the steps that it reuses, and their undo with them. */
function heirOf(effect: Effect, states: ReadonlyMap<string, SagaState>): string {
  let id = effect.sagaId;
  for (;;) {
    const fork = states.get(states.get(id)?.forkId ?? "");
    if (!fork?.started.reused || !(effect.step in fork.started.reused)) return id;
    id = fork.sagaId;
  }
}

function stepOf(world: World, state: SagaState, key: string) {
  return world.definitions.get(state.started.name)?.graph.byName.get(fromKey(key).name);
}

function isUndoneSaga({ status }: SagaState): boolean {
  return status === "compensated" || status === "compensated_with_exceptions";
}

function isHeldAgainst(effect: Effect, { world, state }: { world: World; state: SagaState }): boolean {
  if (state.exceptions.includes(effect.step)) return false;
  // A step that was skipped on the way forward is nobody's to undo.
  const step = stateOf(state, effect.step);
  if (step?.status === "skipped") return false;
  return effect.fenced || world.heard.has(JSON.stringify(effect.result));
}

function stateOf(state: SagaState, key: string): StepState | undefined {
  const { name, index } = fromKey(key);
  const step = state.steps.get(name);
  return index === undefined ? step : step?.itemStates[index];
}

function recordedAsDone(state: SagaState, effect: Effect): boolean {
  const step = stateOf(state, effect.step);
  return step?.status === "done" && effect.key.endsWith(`/${step.actionRound}`);
}

/** What is recorded as a step's result is what its participant answered. */
function resultsAreReal(state: SagaState, world: World): void {
  const { participants, simulation } = world;
  for (const step of state.steps.values()) {
    if (!["action", "map"].includes(stepOf(world, state, step.key)?.kind ?? "")) continue;
    for (const one of [step, ...step.itemStates]) {
      if (one?.status !== "done" || one.result === undefined) continue;
      const effect = participants.effects.get(`${state.sagaId}/${one.key}/do/${one.actionRound}`);
      if (effect && JSON.stringify(effect.result) !== JSON.stringify(one.result))
        simulation.history.breach("what is recorded is what was answered", `${one.key} of ${state.sagaId}`);
    }
  }
}

const ALWAYS_WRITTEN = new Set(["signal", "retry", "skip", "resolve", "force_close", "fork"]);

/** Requests that were accepted are in the history, once; refused ones are not. */
function judgeRequest(request: RequestNote, world: World): void {
  const { kind, mark, outcome, sagaId } = request;
  const { history } = world.simulation;
  const written = journalOf(world, sagaId).filter((event) => isMarked(event, mark)).length;
  const what = `${kind} (${mark}) of ${sagaId} is ${outcome} and written ${written} times`;
  if (written > 1) history.breach("a request is carried out once", what);
  const others = world.requests.filter((other) => other.mark === mark && other !== request);
  if (outcome === "refused" && written > 0 && others.length === 0)
    history.breach("a refused request leaves no trace", what);
  if (outcome === "accepted" && written === 0 && ALWAYS_WRITTEN.has(kind))
    history.breach("an accepted request is in the history", what);
}

function isMarked(event: JournalEntry, mark: string): boolean {
  if (event.type === "signal_received") return event.data.signalId === mark;
  // The cancel that caused it is an event of its own, but for one of a saga that had completed.
  if (event.type === "compensation_started") return false;
  const data = event.data as { reason?: unknown; by?: { reason?: unknown } };
  return data.reason === mark || data.by?.reason === mark;
}

/** When an undo reaches its participant, everything that could see what it undoes is undone already. */
export function judgeOrder(call: StepCall, world: World): void {
  const { definition, ctx, step } = call;
  const { storage, history } = world.simulation;
  const state = fold(ctx.sagaId, storage.journal(ctx.sagaId).map(fromStored));
  for (const name of mustBeUndoneBefore(definition, step)) {
    for (const effect of world.participants.effects.values()) {
      if (!effect.present || !effect.fenced || fromKey(effect.step).name !== name) continue;
      if (!ownsEffect(state, effect, world) || isLetGo(state, effect.step)) continue;
      history.breach(
        "undo follows the reverse of the dependency order",
        `${ctx.step} of ${short(ctx.sagaId)} was undone before ${effect.step}`,
      );
    }
  }
}

function ownsEffect(state: SagaState, effect: Effect, world: World): boolean {
  let id: string | undefined = state.sagaId;
  while (id !== undefined) {
    if (effect.sagaId === id) return true;
    const start: JournalEntry | undefined = journalOf(world, id)[0];
    if (start?.type !== "saga_started" || !(effect.step in (start.data.reused ?? {}))) return false;
    id = start.data.forkOf?.sagaId;
  }
  return false;
}

function isLetGo(state: SagaState, key: string): boolean {
  const status = stateOf(state, key)?.status;
  return status === "compensation_failed" || status === "skipped";
}
