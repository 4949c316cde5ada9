import type { MapStep, StepDefinition } from "../definition/definition.ts";
import type { RecordedError } from "../saga/events.ts";
import { findStep, itemKey } from "../saga/state.ts";
import type { StepState } from "../saga/state.ts";
import { isReady, setTries } from "./view.ts";
import type { View } from "./view.ts";

const LOST: RecordedError = {
  name: "Lost",
  message: "the process that ran this attempt died, or lost its lease",
  kind: "lost",
};

/**
 * Prepares a saga that this worker claimed: what was left undecided about steps with unknown outcomes is decided anew.
 * `crashed`: its last owner vanished, so its attempts in flight are unknown too.
 */
export function adopt(view: View, { crashed }: { readonly crashed: boolean }): void {
  if (view.state.direction !== "forward") return;
  for (const step of view.state.steps.values()) {
    for (const one of [step, ...step.itemStates]) if (one) recall(view, one);
  }
  if (crashed || view.state.parked?.crashed) doubtAll(view);
}

function recall(view: View, { key, status, tries, error, asked }: StepState): void {
  if (asked && tries.action < asked.attempt) return; // its reply is still waited for
  if (status !== "pending" || !tries.unknown || view.state.blocked.has(key)) return;
  view.live.unsettled.set(key, { error: error ?? LOST, verified: false, final: false, again: false });
}

/**
 * Takes over a saga whose owner vanished. The graph is static, so no "started" record is needed: every action whose
 * dependencies are done and which has no outcome may have run, and all others have not.
 */
function doubtAll(view: View): void {
  for (const step of view.definition.steps) {
    if (step.kind !== "action" && step.kind !== "map") continue;
    if (!isOpen(view, step.name) || !isReady(view, step, view.state.seq)) continue;
    for (const key of keysThatMayHaveRun(view, step)) doubt(view, step, key);
  }
}

function isOpen(view: View, key: string): boolean {
  return (findStep(view.state, key)?.status ?? "pending") === "pending";
}

function keysThatMayHaveRun(view: View, step: StepDefinition): string[] {
  return step.kind === "map" ? itemsInWindow(view, step) : [step.name];
}

/**
 * Items begin in order, no more at a time than `concurrency`: only the first open ones can have been in flight. Those
 * that a person opened again, and only they, may have begun after later ones.
 */
function itemsInWindow(view: View, step: MapStep): string[] {
  const { items = [] } = view.state.steps.get(step.name) ?? {};
  const open = items.map((_, index) => itemKey(step.name, index)).filter((key) => isOpen(view, key));
  const [again, first] = [
    open.filter((key) => isAgain(view, key)),
    open.filter((key) => !isAgain(view, key)),
  ];
  return [...again, ...first.slice(0, step.concurrency)];
}

function isAgain(view: View, key: string): boolean {
  return (findStep(view.state, key)?.actionRound ?? 0) > 0;
}

function doubt(view: View, step: StepDefinition, key: string): void {
  if (view.state.blocked.has(key)) return;
  if (step.role === "pivot" && view.state.pivotStartedSeq === undefined) return;
  const retryAt = findStep(view.state, key)?.retryAt;
  if (retryAt !== undefined && retryAt > view.now) return;
  setTries(view, key, { unknown: true });
  view.live.unsettled.set(key, { error: LOST, verified: false, final: false, again: false });
}
