import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";
import type { CommandMessage } from "../../core/participant/messages.ts";
import type { OutboxEvent } from "../../core/delivery/outbox-event.ts";

/** What a handler of a command gets. */
export interface CommandContext<Payload = unknown> {
  readonly payload: Payload;
  /** Who asks, and all else that came with it. */
  readonly command: CommandMessage;
  /** The same each time that this is asked: hand it to services that you call. */
  readonly idempotencyKey: string;
  /**
   * The transaction in which it is remembered that this was done: what is written through it commits with that, and with the
   * reply.
   */
  readonly tx: SqlRunner;
  /** Aborts when the handler has taken too long. */
  readonly signal: AbortSignal;
  /** Publishes an event if and only if it is remembered that this was done. */
  publish(event: OutboxEvent): void;
}

/** What a handler of an undo gets. */
export interface CommandUndoContext<Payload = unknown, Result = unknown> extends CommandContext<Payload> {
  /** What `do` returned. */
  readonly result: Result;
}

/** What a participant can be asked for. */
export interface Command {
  /** Returns the result, or throws `fail("…")`: then all that was written is taken back, and the answer is no, for good. */
  do(ctx: CommandContext<never>): unknown;
  /** Undoes what `do` did. It is called only for what was done, and once. */
  undo?(ctx: CommandUndoContext<never, never>): unknown;
}

/** Commands by their names. */
export type Commands = Readonly<Record<string, Command>>;

/** @throws SagaError `SAGAZ_INVALID_OPTION`. */
export function checkCommands(commands: Commands): void {
  const names = Object.keys(commands);
  if (names.length === 0) throw invalid("commands", "{}", "it must name at least one command");
  for (const name of names) {
    const { do: run, undo } = (commands[name] ?? {}) as { do?: unknown; undo?: unknown };
    const option = `commands.${name}`;
    if (typeof run !== "function") throw invalid(`${option}.do`, typeof run, "it must be a function");
    if (undo !== undefined && typeof undo !== "function")
      throw invalid(`${option}.undo`, typeof undo, "it must be a function, if it is there");
  }
}

function invalid(option: string, value: string, rule: string): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "Participant", option, value, rule });
}
