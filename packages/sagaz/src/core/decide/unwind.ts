import type { StepDefinition } from "../definition/definition.ts";
import { need } from "../must.ts";
import type { SagaEvent } from "../saga/events.ts";
import { findStep } from "../saga/state.ts";
import type { StepState } from "../saga/state.ts";
import { noteSilence } from "./asking.ts";
import { strategyOf } from "./admission.ts";
import { forwardEvents, startReady } from "./forward.ts";
import { decideUnsettled } from "./unsettled.ts";
import { isHalted, isReady, triesOf, wake } from "./view.ts";
import type { Draft, View } from "./view.ts";

/**
 * Between the failure and the compensation: steps in flight end, are cut off, or finish, as the strategy says. The
 * compensation starts when no step's fate is open any more, so a step without an outcome is then known not to have
 * run. That is what makes the journal alone enough after a crash.
 */
export function unwind(view: View, move: Draft): void {
  noteSilence(view);
  noteUnknown(view);
  giveUpAsking(view, move);
  decideUnsettled(view, move);
  if (move.events.length > 0) return;
  const waitsForAll = strategyOf(view) === "WAIT_ALL";
  if (waitsForAll) {
    move.events.push(...forwardEvents(view));
    if (move.events.length > 0) return;
    startReady(view, move);
  } else cutOff(view, move);
  if (isQuiet(view, move) && !(waitsForAll && isAnythingOpen(view)))
    move.events.push(compensationStarted(view));
}

/** A step that waits for its next attempt after an unknown one will not get it: its fate has to be decided now. */
function noteUnknown(view: View): void {
  if (strategyOf(view) === "WAIT_ALL") return;
  for (const key of unknownKeys(view)) {
    if (view.live.unsettled.has(key) || view.live.tasks.has(key) || view.state.blocked.has(key)) continue;
    const state = findStep(view.state, key);
    if (isDecided(state)) continue;
    const error = state?.error ?? {
      name: "Lost",
      message: "an earlier attempt may have taken effect",
      kind: "lost" as const,
    };
    view.live.unsettled.set(key, { error, verified: false, final: true, again: false });
  }
}

function isDecided(state: StepState | undefined): boolean {
  return state !== undefined && (state.status !== "pending" || state.asked !== undefined);
}

/** After the grace nobody waits for replies any more: what was asked may have been done, and is undone. */
function giveUpAsking(view: View, move: Draft): void {
  if (strategyOf(view) === "WAIT_ALL") return;
  for (const { name } of view.definition.graph.commands) {
    const blocked = view.state.blocked.get(name);
    if (!isAsked(view, name) || view.live.unsettled.has(name)) continue;
    if (blocked !== undefined && blocked !== "reply_timeout") continue;
    const message = "the saga went back before the reply came";
    const error = { name: "NoReply", message, kind: "cut_off" } as const;
    if (view.now < cutAtOf(view)) wake(move, cutAtOf(view));
    else view.live.unsettled.set(name, { error, verified: false, final: true, again: false });
  }
}

function isAsked(view: View, name: string): boolean {
  const step = view.state.steps.get(name);
  return step?.status === "pending" && step.asked !== undefined;
}

function cutAtOf(view: View): number {
  return view.state.failedAt + (strategyOf(view) === "FAIL_FAST" ? 0 : view.definition.graceMs);
}

/** Steps and items with an attempt that may have taken effect, by the journal as corrected by memory. */
function unknownKeys(view: View): Set<string> {
  const keys = new Set<string>();
  for (const [key, tries] of view.live.tries) if (tries.unknown) keys.add(key);
  for (const step of view.state.steps.values()) {
    for (const one of [step, ...step.itemStates])
      if (one && triesOf(view, one.key).unknown) keys.add(one.key);
  }
  return keys;
}

/** After the grace (none with `FAIL_FAST`) everything in flight is told to stop. */
function cutOff(view: View, move: Draft): void {
  const cutAt = cutAtOf(view);
  for (const task of view.live.tasks.values()) {
    if (task.abortedAt !== undefined || task.task.kind === "undo") continue;
    if (view.now >= cutAt) move.abort.push({ task, cause: "cut_off" });
    else wake(move, cutAt);
  }
}

function isQuiet(view: View, move: Draft): boolean {
  if (isHalted(view) || view.live.tasks.size > 0 || view.live.unsettled.size > 0 || move.start.length > 0)
    return false;
  if (view.definition.graph.commands.some(({ name }) => isAsked(view, name))) return false;
  // A blocked step's fate is open: a person has to say whether it was done. Only of a signal that never came is it known.
  return [...view.state.blocked.values()].every((reason) => reason === "signal_timeout");
}

/** `WAIT_ALL` lets everything finish that does not depend on the failure: delays, timers, signals and children too. */
function isAnythingOpen(view: View): boolean {
  return view.definition.steps.some((step) => isWaiting(view, step));
}

function isWaiting(view: View, step: StepDefinition): boolean {
  if (step.role === "pivot" || !isReady(view, step, Number.POSITIVE_INFINITY)) return false;
  const state = view.state.steps.get(step.name);
  if ((state?.status ?? "pending") !== "pending") return false;
  if (step.kind !== "map" || !state?.items) return true;
  return state.items.some((_, index) => (state.itemStates[index]?.status ?? "pending") === "pending");
}

function compensationStarted(view: View): SagaEvent {
  const cause = need(view.state.failure, "a saga unwinds because something failed");
  return { type: "compensation_started", data: { cause } };
}
