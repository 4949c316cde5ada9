import { SagaError } from "../errors.ts";
import type { SagaErrorCode } from "../errors.ts";
import type { Direction } from "../saga/events.ts";

/** `ce_type` of a command, and of a reply to one. `docs/reference/participant-contract.asyncapi.yaml` has their schemas. */
export const COMMAND_TYPE = "sagaz.command.v1";
export const REPLY_TYPE = "sagaz.reply.v1";

/** What a participant is asked: the JSON of a message of type `sagaz.command.v1`. */
export interface CommandMessage {
  /** Who asks: comes back in the reply, with `step`, `direction` and `round`. */
  readonly sagaId: string;
  readonly step: string;
  /** What is to be done or undone. */
  readonly command: string;
  readonly direction: Direction;
  /** Rises when it is asked anew after a definite answer. What is asked in an older round is refused. */
  readonly round: number;
  /** How many times it was asked in this round, this time included. */
  readonly attempt: number;
  /** The same for what is done and its undo, whoever asks: under this a participant remembers both. */
  readonly effect: string;
  /** The same for all messages that ask this. */
  readonly idempotencyKey: string;
  /** The topic, or the URL, for the reply. */
  readonly replyTo: string;
  /** When the orchestrator stops counting on a reply: ISO 8601. One that comes later still counts. */
  readonly deadline: string;
  readonly payload: unknown;
}

/**
 * How a participant answers. `done`; `failed`: the business says no, nothing took effect, for good; `refused`: it may not be
 * asked that, or not any more, and nothing took effect; `unknown`: it may have taken effect, and nobody can say.
 */
export type ReplyOutcome = "done" | "failed" | "refused" | "unknown";

/** What a participant answers: the JSON of a message of type `sagaz.reply.v1`. */
export interface ReplyMessage {
  readonly sagaId: string;
  readonly step: string;
  readonly direction: Direction;
  readonly round: number;
  readonly idempotencyKey: string;
  readonly outcome: ReplyOutcome;
  /** What `done` came to. */
  readonly result?: unknown;
  /** Why not. */
  readonly error?: ReplyError;
}

/** Why something was not done. */
export interface ReplyError {
  readonly message: string;
  readonly code?: string;
  readonly details?: unknown;
}

/** @throws SagaError `SAGAZ_INVALID_COMMAND`. */
export function toCommand(body: unknown): CommandMessage {
  const fields = new Fields(body, "SAGAZ_INVALID_COMMAND");
  for (const name of ["sagaId", "step", "command", "effect", "idempotencyKey", "replyTo"]) fields.text(name);
  fields.direction();
  fields.count("round", 0);
  fields.count("attempt", 1);
  return body as CommandMessage;
}

/** @throws SagaError `SAGAZ_INVALID_REPLY`. */
export function toReply(body: unknown): ReplyMessage {
  const fields = new Fields(body, "SAGAZ_INVALID_REPLY");
  fields.text("sagaId");
  fields.text("step");
  fields.direction();
  fields.count("round", 0);
  fields.word("outcome", ["done", "failed", "refused", "unknown"]);
  fields.error();
  return body as ReplyMessage;
}

/** Checks the fields of what somebody else wrote. */
class Fields {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #code: SagaErrorCode;

  constructor(body: unknown, code: SagaErrorCode) {
    this.#code = code;
    this.#fields = (body ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof body !== "object" || body === null || Array.isArray(body) || body instanceof Uint8Array)
      throw this.#invalid("body", typeof body, "it must be a JSON object");
  }

  text(name: string, inside = this.#fields): void {
    const value = inside[name];
    if (typeof value === "string" && value !== "") return;
    throw this.#invalid(name, value, "it must be a text");
  }

  word(name: string, words: readonly string[]): void {
    const value = this.#fields[name];
    if (words.includes(value as string)) return;
    throw this.#invalid(name, value, `it must be one of ${words.join(", ")}`);
  }

  direction(): void {
    this.word("direction", ["do", "undo"]);
  }

  count(name: string, least: number): void {
    const value = this.#fields[name];
    if (Number.isSafeInteger(value) && (value as number) >= least) return;
    throw this.#invalid(name, value, `it must be a whole number from ${least} on`);
  }

  error(): void {
    const { error } = this.#fields;
    if (error === undefined) return;
    if (typeof error !== "object" || error === null)
      throw this.#invalid("error", error, "it must be an object");
    this.text("message", error as Record<string, unknown>);
    if ("code" in error) this.text("code", error);
  }

  #invalid(what: string, value: unknown, rule: string): SagaError {
    return new SagaError(this.#code, {
      what,
      value: (JSON.stringify(value) ?? "missing").slice(0, 60),
      rule,
    });
  }
}
