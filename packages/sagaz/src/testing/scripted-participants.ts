import type { StepContext, UndoContext } from "../core/definition/context.ts";
import { COMMAND_TYPE } from "../core/participant/messages.ts";
import type { CommandMessage, ReplyMessage } from "../core/participant/messages.ts";
import type { OutboxRow } from "../core/delivery/outbox-event.ts";
import type { Parts } from "./rehearsed-definition.ts";

/**
 * Answers commands in place of their participants. A script's value is the result; `fails` says no; `losesReply`,
 * `timesOut` and `neverSettles` leave the saga without an answer, and any other throw is the answer that nobody knows.
 */
export async function answerCommand(row: OutboxRow, parts: Parts): Promise<ReplyMessage | undefined> {
  if (row.type !== COMMAND_TYPE) return undefined;
  const command = JSON.parse(String(row.payload)) as CommandMessage;
  const { sagaId, step, direction, round, idempotencyKey } = command;
  const reply = { sagaId, step, direction, round, idempotencyKey };
  const script = (direction === "do" ? parts.actions : parts.undos)[step];
  const run = () => (typeof script === "function" ? script(toContext(command), () => undefined) : undefined);
  try {
    const result = await parts.call(direction === "do" ? step : `undo ${step}`, run);
    return { ...reply, outcome: "done", ...(result === undefined ? {} : { result }) };
  } catch (thrown) {
    const { name, message, details } = thrown as { name?: string; message?: string; details?: unknown };
    if (name === "AmbiguousOutcome") return undefined;
    const error = { message: message ?? String(thrown), ...(details === undefined ? {} : { details }) };
    return { ...reply, outcome: name === "BusinessFailure" ? "failed" : "unknown", error };
  }
}

/** What a participant knows of a saga is what was sent along. */
function toContext(command: CommandMessage): StepContext & UndoContext {
  const { sagaId, step, attempt, idempotencyKey, payload } = command;
  const { signal } = new AbortController();
  const known = { sagaId, step, attempt, idempotencyKey, signal, item: payload, command };
  return known as unknown as StepContext & UndoContext;
}
