import type { CommandStep } from "../definition/definition.ts";
import type { Direction, RecordedError } from "../saga/events.ts";
import { settle } from "./settle.ts";
import { toTask } from "./task.ts";
import { deadline, isBlocked, isHalted, triesOf } from "./view.ts";
import type { View } from "./view.ts";

/** When the reply to what was asked is due; undefined when nothing was, or that asking counts as over. */
export function replyDue(view: View, step: CommandStep, direction: Direction): number | undefined {
  const asked = view.state.steps.get(step.name)?.asked;
  if (asked?.direction !== direction) return undefined;
  const { action, undo } = triesOf(view, step.name);
  const ended = direction === "do" ? action : undo;
  return ended < asked.attempt ? deadline(view, asked.at, step.replyTimeoutMs ?? step.waitMs) : undefined;
}

/** What is known of a command whose reply did not come in time. */
export function silence({ topic, replyTimeoutMs, waitMs }: CommandStep): RecordedError {
  const message = `no reply came from "${topic}" within ${replyTimeoutMs ?? waitMs} ms`;
  return { name: "NoReply", message, kind: "timeout" };
}

/** A reply that is late leaves the outcome unknown, as an attempt does that takes too long. */
export function noteSilence(view: View): void {
  if (isHalted(view)) return;
  for (const step of view.definition.graph.commands) {
    if (step.replyTimeoutMs === undefined || isBlocked(view, step.name)) continue;
    const due = replyDue(view, step, "do");
    if (due === undefined || view.now < due) continue;
    settle(view, toTask(view, { kind: "do", step }), { type: "unknown", error: silence(step) });
  }
}
