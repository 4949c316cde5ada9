import type { Sagaish } from "../core/definition/sagaish.ts";
import type { JournalEntry } from "../core/saga/events.ts";
import { SagaError } from "../core/errors.ts";
import { fold } from "../core/saga/evolve.ts";
import { toReply } from "../core/participant/messages.ts";
import type { SagaFilter, SagaPage, SagaStorage } from "../ports/storage.ts";
import { checkFilter } from "./check-filter.ts";
import type { Endings } from "./endings.ts";
import { load, loadEvents } from "./load.ts";
import type { Registry } from "./registry.ts";
import { toDeed } from "./requests.ts";
import type { Reason, Requests } from "./requests.ts";
import { Results } from "./results.ts";
import type { WaitOptions } from "./results.ts";
import type { SagaResult } from "./saga-result.ts";
import { viewOf } from "./saga-view.ts";
import type { SagaView } from "./saga-view.ts";
import { Starts } from "./starts.ts";
import type { StartOptions } from "./start-options.ts";
import { plan } from "./undo-plan.ts";
import type { UndoPlan } from "./undo-plan.ts";
import type { Worker } from "./worker.ts";

export type { Reason } from "./requests.ts";
export type { WaitOptions } from "./results.ts";
export type { StartOptions } from "./start-options.ts";

/** A saga that was started, or found. */
export interface SagaHandle<Output = unknown> {
  readonly id: string;
  /** False when an idempotency key found a saga that was there already. */
  readonly isNew: boolean;
  /** Waits for the end, in whatever process that comes. */
  readonly result: (options?: WaitOptions) => Promise<SagaResult<Output>>;
}

/** What {@link Sagas} is made of. */
export interface SagasParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly worker: Worker;
  readonly endings: Endings;
  readonly payloadBytesMax: number;
}

/** What one can do with sagas: start, look, and intervene. The same calls over HTTP have the same names. */
export class Sagas {
  readonly #parts: SagasParts;
  readonly #starts: Starts;
  readonly #results: Results;
  readonly #requests: Requests;

  constructor(parts: SagasParts, requests: Requests) {
    this.#parts = parts;
    this.#starts = new Starts(parts);
    this.#results = new Results(parts);
    this.#requests = requests;
  }

  /**
   * Starts a saga and answers once it is on record: from then on it ends or is parked, whatever crashes.
   *
   * @throws SagaError `SAGAZ_INPUT_INVALID`, `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`, `SAGAZ_UNKNOWN_SAGA`, `SAGAZ_INVALID_OPTION`,
   * `SAGAZ_IDEMPOTENCY_CONFLICT`, `SAGAZ_START_IN_PROGRESS`, `SAGAZ_TOO_BUSY`.
   */
  async start<Input, Output>(
    saga: Sagaish<Input, Output> | string,
    input: Input,
    options: StartOptions = {},
  ): Promise<SagaHandle<Output>> {
    const { id, isNew } = await this.#starts.start(saga, input, options);
    return this.#handle(id, isNew);
  }

  #handle<Output>(id: string, isNew: boolean): SagaHandle<Output> {
    return { id, isNew, result: (options) => this.result<Output>(id, options) };
  }

  /**
   * Waits for a saga's end, in whatever process that comes.
   *
   * @throws SagaError `SAGAZ_SAGA_NOT_FOUND`, `SAGAZ_RESULT_TIMEOUT`, `SAGAZ_ABORTED`, `SAGAZ_STOPPED`; the saga goes on.
   */
  result<Output = unknown>(sagaId: string, options: WaitOptions = {}): Promise<SagaResult<Output>> {
    return this.#results.result<Output>(sagaId, options);
  }

  /** One saga, or undefined. */
  async find(sagaId: string): Promise<SagaView | undefined> {
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) return undefined;
    const state = await load(this.#parts.storage, sagaId);
    return viewOf({ state, row, definition: this.#parts.registry.find(row.sagaName, row.version) });
  }

  /** @throws SagaError `SAGAZ_SAGA_NOT_FOUND`. */
  async get(sagaId: string): Promise<SagaView> {
    const view = await this.find(sagaId);
    if (!view) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    return view;
  }

  /** One page, newest first. */
  async list(filter: Partial<SagaFilter> = {}): Promise<SagaPage> {
    checkFilter(filter);
    return this.#parts.storage.queries.list({ limit: 50, ...filter });
  }

  /** The saga's history. */
  events(sagaId: string): Promise<readonly JournalEntry[]> {
    return loadEvents(this.#parts.storage, sagaId);
  }

  /**
   * The saga as it was after an event or at a time: temporal queries.
   *
   * @throws SagaError `SAGAZ_SAGA_NOT_FOUND` also for a time before its start.
   */
  async stateAt(
    sagaId: string,
    point: { readonly seq: number } | { readonly time: Date },
  ): Promise<SagaView> {
    const journal = await this.events(sagaId);
    const until = journal.filter(({ seq, at }) =>
      "seq" in point ? seq <= point.seq : at <= point.time.getTime(),
    );
    if (until.length === 0) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    const state = fold(sagaId, until);
    return viewOf({
      state,
      definition: this.#parts.registry.find(state.started.name, state.started.version),
    });
  }

  /** What a compensation would undo now, and in which order. Changes nothing. */
  async plan(sagaId: string): Promise<UndoPlan> {
    const state = await load(this.#parts.storage, sagaId);
    return plan(state, this.#parts.registry.find(state.started.name, state.started.version));
  }

  /**
   * Hands an external event to a saga; its signal step consumes the oldest of that name. A repeated `signalId` is dropped.
   *
   * @throws SagaError `SAGAZ_UNKNOWN_SIGNAL`, `SAGAZ_SIGNAL_INVALID`, `SAGAZ_SIGNALS_FULL`, `SAGAZ_SAGA_ENDED`, `SAGAZ_SAGA_NOT_FOUND`.
   */
  async signal(
    sagaId: string,
    signal: string,
    ...[payload, options = {}]: [payload?: unknown, options?: { readonly signalId?: string }]
  ): Promise<void> {
    const checked = await this.#requests.toSignal(sagaId, signal, payload);
    await this.#requests.send(sagaId, { kind: "signal", signal, payload: checked, ...options });
  }

  /**
   * Hands a participant's reply to its saga, when it did not come through a broker: from an HTTP call, say. Pass its JSON
   * as it came. A repeated one changes nothing.
   *
   * @throws SagaError `SAGAZ_INVALID_REPLY`, `SAGAZ_NOT_JSON`, `SAGAZ_UNKNOWN_REPLY`, `SAGAZ_SAGA_NOT_FOUND`.
   */
  async reply(body: unknown): Promise<void> {
    const reply = this.#requests.keepReply(toReply(body));
    await this.#requests.send(reply.sagaId, await this.#requests.toReplyRequest(reply));
  }

  /**
   * Cancels a saga: what was done is undone. With its pivot in flight the request waits for the outcome.
   *
   * @throws SagaError `SAGAZ_PIVOT_PASSED`, `SAGAZ_SAGA_ENDED`, `SAGAZ_FORKED`, `SAGAZ_SAGA_NOT_FOUND`.
   */
  async cancel(sagaId: string, reason: Reason): Promise<void> {
    await this.#requests.send(sagaId, { kind: "cancel", ...toDeed("cancel", reason) });
  }

  /** Stops a saga from beginning anything, undo included; its time-outs stand still. */
  async pause(sagaId: string, reason: Reason): Promise<void> {
    await this.#requests.send(sagaId, { kind: "pause", ...toDeed("pause", reason) });
  }

  /** Lets a paused saga go on. */
  async resume(sagaId: string, reason: Reason): Promise<void> {
    await this.#requests.send(sagaId, { kind: "resume", ...toDeed("resume", reason) });
  }

  /** Tries again what a parked saga is parked for. @throws SagaError `SAGAZ_NOT_PARKED`. */
  async retry(sagaId: string, reason: Reason): Promise<void> {
    await this.#requests.send(sagaId, { kind: "retry", ...toDeed("retry", reason) });
  }

  /**
   * Lets a compensation go, so that the saga ends with an exception, or a forward step that nobody depends on.
   *
   * @throws SagaError `SAGAZ_STEP_NEEDED`, `SAGAZ_STEP_NOT_BLOCKED`, `SAGAZ_NOT_PARKED`.
   */
  async skip(sagaId: string, step: string, reason: Reason): Promise<void> {
    await this.#requests.send(sagaId, { kind: "skip", step, ...toDeed("skip", reason) });
  }

  /**
   * Says what a person found out about the step that a saga is parked for: it was done (with its result), or it was not.
   *
   * @throws SagaError `SAGAZ_STEP_NOT_BLOCKED`, `SAGAZ_RESULT_INVALID`, `SAGAZ_PIVOT_PASSED`, `SAGAZ_NOT_PARKED`.
   */
  async resolve(
    sagaId: string,
    step: string,
    answer: { readonly outcome: "done" | "not_done"; readonly result?: unknown } & Reason,
  ): Promise<void> {
    const { outcome } = answer;
    if (outcome !== "done" && outcome !== "not_done") throw noOutcome(outcome);
    const checked =
      outcome === "done" ? await this.#requests.toResult(sagaId, step, answer.result) : undefined;
    const result = checked === undefined ? {} : { result: checked };
    await this.#requests.send(sagaId, {
      kind: "resolve",
      step,
      outcome,
      ...result,
      ...toDeed("resolve", answer),
    });
  }

  /** Ends a parked saga as it stands: nothing more is done or undone. */
  async forceClose(sagaId: string, reason: Reason): Promise<void> {
    await this.#requests.send(sagaId, { kind: "force_close", ...toDeed("forceClose", reason) });
  }

  /**
   * Starts a new saga from an ended one: it reuses the results of the steps before `fromStep` that are still done, and
   * with them their undo. The old one can no longer be compensated or forked.
   *
   * @throws SagaError `SAGAZ_NOT_FORKABLE`, `SAGAZ_FORKED`, `SAGAZ_UNKNOWN_STEP`.
   */
  async fork(
    sagaId: string,
    options: { readonly fromStep: string; readonly input?: unknown } & Reason,
  ): Promise<SagaHandle> {
    this.#parts.worker.checkStart(); // ids take the database's time, which is known from then on
    const forkId = this.#parts.worker.newId();
    const input =
      "input" in options ? { input: await this.#requests.toForkInput(sagaId, options.input) } : {};
    await this.#requests.send(sagaId, {
      kind: "fork",
      forkId,
      fromStep: options.fromStep,
      ...input,
      ...toDeed("fork", options),
    });
    return this.#handle(forkId, true);
  }
}

/** What is no outcome must not pass for "not_done": what was done would be done again, or never undone. */
function noOutcome(outcome: unknown): SagaError {
  const value = typeof outcome === "string" ? JSON.stringify(outcome) : typeof outcome;
  const rule = 'it must be "done" or "not_done"';
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "resolve", option: "outcome", value, rule });
}
