import type { SagaDefinition } from "../core/definition/definition.ts";
import type { StandardSchema } from "../core/definition/standard-schema.ts";
import type { SagaRequest } from "../core/decide/requests.ts";
import { isSagaError, SagaError } from "../core/errors.ts";
import type { ReplyRequest } from "../core/decide/reply.ts";
import type { ReplyMessage } from "../core/participant/messages.ts";
import { keepJson } from "../core/json.ts";
import type { SagaErrorCode } from "../core/errors.ts";
import type { Deed } from "../core/saga/events.ts";
import type { MailOutcome, SagaStorage } from "../ports/storage.ts";
import { toMail } from "./entry.ts";
import { validate } from "./payload.ts";
import type { Registry } from "./registry.ts";
import { accept } from "./starts.ts";
import type { Worker } from "./worker.ts";

/** Who asks, and why: both are written into the saga's history. */
export interface Reason {
  readonly reason: string;
  /** Default: `unknown`. */
  readonly actor?: string;
}

const REQUEST_POLL_MS = { first: 2, most: 500 };
/** A request waits this long for its answer; then it stays stored and is carried out later. */
const REQUEST_WAIT_MS = 30_000;

/** What {@link Requests} needs. */
export interface RequestsParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly worker: Worker;
  readonly payloadBytesMax: number;
}

/** Sends requests to sagas, wherever they run, after checking what can be checked here. */
export class Requests {
  readonly #parts: RequestsParts;

  constructor(parts: RequestsParts) {
    this.#parts = parts;
  }

  /** Stores the request as mail to the saga's owner, whoever that is, and waits for its answer. */
  async send(sagaId: string, request: SagaRequest): Promise<void> {
    const { storage, worker } = this.#parts;
    const mailId = worker.newId();
    await storage.mailbox.send(toMail(mailId, sagaId, request));
    worker.poke();
    const until = worker.clock.monotonic() + REQUEST_WAIT_MS;
    for (let delayMs = REQUEST_POLL_MS.first; ; delayMs = Math.min(delayMs * 2, REQUEST_POLL_MS.most)) {
      await new Promise<void>((resolve) => worker.clock.setTimer(delayMs, resolve));
      const outcome = await storage.mailbox.outcome({ mailId, sagaId });
      if (outcome.kind === "done") return;
      if (outcome.kind === "refused") throw toRefusal(outcome);
      if (worker.clock.monotonic() >= until)
        throw new SagaError("SAGAZ_REQUEST_PENDING", { request: request.kind, sagaId });
    }
  }

  /** Stores a participant's reply as mail to the saga's owner, and does not wait for what becomes of it. */
  async post(mailId: string, reply: ReplyMessage): Promise<void> {
    const { storage, worker } = this.#parts;
    await storage.mailbox.send(toMail(mailId, reply.sagaId, await this.toReplyRequest(reply)));
    worker.poke();
  }

  /** A reply that did not come as JSON text, as if it had; how large a result may be is for {@link toResult} to say. */
  keepReply(reply: ReplyMessage): ReplyMessage {
    return keepJson(reply, { what: "the reply", bytesMax: Infinity }) as ReplyMessage;
  }

  /** A reply as the owner takes it: with a result as the step's schema returns it. */
  async toReplyRequest(reply: ReplyMessage): Promise<ReplyRequest> {
    const { sagaId, step, direction, round, outcome, error } = reply;
    const request = { kind: "reply", step, direction, round, outcome, ...(error ? { error } : {}) } as const;
    if (outcome !== "done" || reply.result === undefined) return request;
    if (direction === "undo") return { ...request, result: reply.result };
    try {
      return { ...request, result: await this.toResult(sagaId, step, reply.result) };
    } catch (unfit) {
      if (!isSagaError(unfit) || unfit.retryable) throw unfit;
      return { ...request, outcome: "unusable", error: { message: unfit.message, code: unfit.code } };
    }
  }

  /** The payload of a signal as its step's schema returns it. @throws SagaError `SAGAZ_SIGNAL_INVALID`, `SAGAZ_NOT_JSON` … */
  async toSignal(sagaId: string, signal: string, payload: unknown): Promise<unknown> {
    // Only a process that holds the definition can check; when none of its sagas has such a schema it need not look.
    const isChecked = [...this.#parts.registry].some((definition) => payloadSchema(definition, signal));
    const checked = isChecked ? await this.#checkSignal(sagaId, signal, payload ?? null) : payload;
    return this.#keep(checked ?? null, `the payload of signal "${signal}"`);
  }

  async #checkSignal(sagaId: string, signal: string, payload: unknown): Promise<unknown> {
    const { storage, registry } = this.#parts;
    const row = await storage.queries.find(sagaId);
    const schema = payloadSchema(row && registry.find(row.sagaName, row.version), signal);
    const checked = schema ? await validate(schema, payload) : { value: payload };
    if ("issues" in checked) throw new SagaError("SAGAZ_SIGNAL_INVALID", { signal, issues: checked.issues });
    return checked.value;
  }

  /** A result given by hand as the step's schema returns it. @throws SagaError `SAGAZ_RESULT_INVALID`, `SAGAZ_NOT_JSON` … */
  async toResult(sagaId: string, step: string, result: unknown): Promise<unknown> {
    const row = await this.#parts.storage.queries.find(sagaId);
    const definition = row && this.#parts.registry.find(row.sagaName, row.version);
    const schema = definition?.graph.byName.get(step)?.resultSchema;
    const checked = schema ? await validate(schema, result) : { value: result };
    if ("issues" in checked)
      throw new SagaError("SAGAZ_RESULT_INVALID", { step, saga: row?.sagaName, issues: checked.issues });
    return this.#keep(checked.value, `the result of step "${step}"`);
  }

  /** The input of a fork as the saga's schema returns it. @throws SagaError `SAGAZ_INPUT_INVALID` … */
  async toForkInput(sagaId: string, input: unknown): Promise<unknown> {
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    const definition = this.#parts.registry.find(row.sagaName, row.version);
    const accepted = definition ? (await accept(definition, input)).value : input;
    return this.#keep(accepted, `the input of "${row.sagaName}"`) ?? null;
  }

  #keep(value: unknown, what: string): unknown {
    return keepJson(value, { what, bytesMax: this.#parts.payloadBytesMax });
  }
}

function payloadSchema(definition: SagaDefinition | undefined, signal: string): StandardSchema | undefined {
  return definition?.steps.find((step) => step.kind === "signal" && step.signal === signal)?.resultSchema;
}

function toRefusal({ code, details }: Extract<MailOutcome, { kind: "refused" }>): SagaError {
  return new SagaError(code as SagaErrorCode, JSON.parse(details) as Record<string, unknown>);
}

/** Who and why, as the history keeps it. @throws SagaError `SAGAZ_REASON_REQUIRED`. */
export function toDeed(request: string, deed: Reason): Deed {
  // JavaScript may forget it.
  const { reason, actor = "unknown" } = (deed as Reason | undefined) ?? { reason: "" };
  if (typeof reason !== "string" || reason.trim() === "")
    throw new SagaError("SAGAZ_REASON_REQUIRED", { request });
  return { actor, reason };
}
