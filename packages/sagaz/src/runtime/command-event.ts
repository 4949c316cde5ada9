import { actionKeyOf, idempotencyKey } from "../core/decide/task.ts";
import type { Task } from "../core/decide/view.ts";
import type { CommandStep } from "../core/definition/definition.ts";
import type { OutboxEvent } from "../core/delivery/outbox-event.ts";
import { isUrl } from "../core/delivery/url-topic.ts";
import { need } from "../core/must.ts";
import { COMMAND_TYPE } from "../core/participant/messages.ts";
import type { CommandMessage } from "../core/participant/messages.ts";
import type { SagaState } from "../core/saga/state.ts";

/** Where participants send their replies to, by the way that their commands come. */
export interface ReplyAddresses {
  readonly topic?: string;
  readonly url?: string;
}

/** The event that asks a participant: for the action, or for its undo. */
export function toCommandEvent(
  { task, step, payload }: { readonly task: Task; readonly step: CommandStep; readonly payload: unknown },
  scope: { readonly state: SagaState; readonly replyTo: ReplyAddresses; readonly now: number },
): OutboxEvent {
  const { state, now } = scope;
  const replyTo = isUrl(step.topic) ? scope.replyTo.url : scope.replyTo.topic;
  const { key, round, attempt } = task;
  // The saga before a fork may have asked for what is undone now.
  const effect = actionKeyOf(state, key).replace(/\/do\/\d+$/, "");
  const body: CommandMessage = {
    sagaId: state.sagaId,
    step: key,
    command: step.command,
    direction: task.kind === "undo" ? "undo" : "do",
    round,
    attempt,
    effect,
    idempotencyKey: idempotencyKey(state.sagaId, task),
    replyTo: need(replyTo, "who has command steps says where replies go"),
    deadline: new Date(now + (step.replyTimeoutMs ?? step.waitMs)).toISOString(),
    payload: payload ?? null,
  };
  return { topic: step.topic, type: COMMAND_TYPE, payload: body };
}
