import type { UndeliveredNotice } from "../../core/decide/reply.ts";
import { LIMITS } from "../../core/definition/policies.ts";
import { isSagaError } from "../../core/errors.ts";
import { COMMAND_TYPE, toCommand } from "../../core/participant/messages.ts";
import type { CommandMessage } from "../../core/participant/messages.ts";
import type { DeadEvent, PendingEvent } from "../../ports/outbox.ts";
import type { NewMail } from "../../ports/storage.ts";
import { toMail } from "../entry.ts";

/** Tells a saga that its command is given up; undefined for what no saga's step has asked. */
export function toNotice(
  { eventId, type, sagaId, payload }: PendingEvent,
  { code, error }: Pick<DeadEvent, "code" | "error">,
): NewMail | undefined {
  if (type !== COMMAND_TYPE || sagaId === null) return undefined;
  const command = readCommand(payload);
  if (command?.sagaId !== sagaId) return undefined;
  const { step, direction, round, attempt } = command;
  const notice: UndeliveredNotice = {
    kind: "undelivered",
    step,
    direction,
    round,
    attempt,
    error: { message: error.slice(0, LIMITS.errorTextMax), code },
  };
  return toMail(`undelivered/${eventId}`, sagaId, notice);
}

/** Whoever publishes may call an event a command. */
function readCommand(payload: string | Uint8Array): CommandMessage | undefined {
  try {
    return toCommand(JSON.parse(typeof payload === "string" ? payload : new TextDecoder().decode(payload)));
  } catch (error) {
    if (error instanceof SyntaxError || isSagaError(error, "SAGAZ_INVALID_COMMAND")) return undefined;
    throw error;
  }
}
