import { createHash } from "node:crypto";
import type { SqlRunner } from "../core/definition/context.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { definitionOf } from "../core/definition/definition-of.ts";
import type { Sagaish } from "../core/definition/sagaish.ts";
import type { StandardSchema } from "../core/definition/standard-schema.ts";
import type { AnySaga } from "./any-saga.ts";
import { SagaError } from "../core/errors.ts";
import type { SagaErrorCode } from "../core/errors.ts";
import { canonicalJson } from "../core/json.ts";
import type { SagaRequest } from "../core/decide/requests.ts";
import type { JournalEntry, SagaStarted } from "../core/saga/events.ts";
import { fold } from "../core/saga/evolve.ts";
import type { SagaState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { MailOutcome, SagaFilter, SagaPage, SagaRow, SagaStorage, StartRow } from "../ports/storage.ts";
import type { Endings } from "./endings.ts";
import { fromStored, identity, toMail, toStartRow } from "./entry.ts";
import type { KeyedStarts } from "./keyed-starts.ts";
import { toPayload, validate } from "./payload.ts";
import type { Registry } from "./registry.ts";
import { toResult } from "./saga-result.ts";
import type { SagaResult } from "./saga-result.ts";
import type { Worker } from "./worker.ts";
import { viewOf } from "./saga-view.ts";
import type { SagaView } from "./saga-view.ts";
import { plan } from "./undo-plan.ts";
import type { UndoPlan } from "./undo-plan.ts";

/** How to start a saga. */
export interface StartOptions {
  /** The same key starts one saga, whoever comes first: per definition and tenant, for as long as the saga is kept. */
  readonly idempotencyKey?: string;
  readonly correlationId?: string;
  readonly tenantId?: string;
  /** Handed to every step as `ctx.headers`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Free attributes to list by. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Not before this time. */
  readonly startAt?: Date;
  /** Starts inside the caller's own transaction: the saga exists if and only if that commits. */
  readonly tx?: SqlRunner;
}

/** How to wait for a saga's end. */
export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Also come back when the saga is parked. */
  readonly orParked?: boolean;
}

/** A saga that was started, or found. */
export interface SagaHandle<Output = unknown> {
  readonly id: string;
  /** False when an idempotency key found a saga that was there already. */
  readonly isNew: boolean;
  /** Waits for the end, in whatever process that comes. */
  result(options?: WaitOptions): Promise<SagaResult<Output>>;
}

/** Who asks, and why: both are written into the saga's history. */
export interface Reason {
  readonly reason: string;
  /** Default: `unknown`. */
  readonly actor?: string;
}

const REQUEST_POLL_MS = { first: 2, most: 500 };
/** A request waits this long for its answer; then it stays stored and is carried out later. */
const REQUEST_WAIT_MS = 30_000;

/** What {@link Sagas} is made of. */
export interface SagasParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly worker: Worker;
  readonly endings: Endings;
  readonly keyed: KeyedStarts;
  readonly payloadBytesMax: number;
}

/** What one can do with sagas: start, look, and intervene. The same calls over HTTP have the same names. */
export class Sagas {
  readonly #parts: SagasParts;

  constructor(parts: SagasParts) {
    this.#parts = parts;
  }

  /**
   * Starts a saga and answers once it is on record: from then on it ends or is parked, whatever crashes.
   *
   * @throws SagaError `SAGAZ_INPUT_INVALID`, `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`, `SAGAZ_UNKNOWN_SAGA`,
   * `SAGAZ_IDEMPOTENCY_CONFLICT`, `SAGAZ_START_IN_PROGRESS`, `SAGAZ_TOO_BUSY`.
   */
  async start<Input, Output>(
    saga: Sagaish<Input, Output> | string,
    input: Input,
    options: StartOptions = {},
  ): Promise<SagaHandle<Output>> {
    const { worker } = this.#parts;
    worker.checkStart();
    const definition = this.#definition(saga);
    const started = await this.#toStarted(definition, input, options);
    const sagaId = worker.newId();
    if (options.tx)
      return this.#startIn(options.tx, toStartRow(sagaId, { ...started, admitted: false }, hashOf(started)));
    const start = toStartRow(sagaId, started, hashOf(started));
    if (started.idempotencyKey !== undefined) return this.#startKeyed(start, definition);
    await new Promise<void>((resolve, reject) => {
      worker.begin(start, definition, (error) => (error ? reject(error) : resolve()));
    });
    return this.#handle(sagaId, true);
  }

  async #startKeyed<Output>(start: StartRow, definition: SagaDefinition): Promise<SagaHandle<Output>> {
    const outcome = await this.#parts.keyed.start(start, definition);
    return this.#keyedHandle(outcome, start);
  }

  #keyedHandle<Output>(
    outcome: Awaited<ReturnType<KeyedStarts["start"]>>,
    start: StartRow,
  ): SagaHandle<Output> {
    const details = { saga: start.sagaName, key: start.idempotencyKey };
    if (outcome.kind === "busy") throw new SagaError("SAGAZ_START_IN_PROGRESS", details);
    if (outcome.kind === "existing" && !outcome.sameInput) {
      throw new SagaError("SAGAZ_IDEMPOTENCY_CONFLICT", { ...details, sagaId: outcome.sagaId });
    }
    return this.#handle(outcome.sagaId, outcome.sagaId === start.sagaId);
  }

  /** Nobody tells us whether the caller commits, so this process looks for the saga; the sweep is the fallback. */
  async #startIn<Output>(tx: SqlRunner, start: StartRow): Promise<SagaHandle<Output>> {
    const { storage } = this.#parts;
    if (!storage.can.joinTransaction) {
      throw new SagaError("SAGAZ_CANNOT", {
        storage: storage.name,
        what: "start a saga in the caller's transaction",
      });
    }
    const outcome = await storage.journal.startIn(tx, start);
    if (start.wakeAt === null) this.#parts.worker.hunt(start.sagaId);
    return this.#keyedHandle(outcome, start);
  }

  #definition(saga: AnySaga | string): SagaDefinition {
    const { registry } = this.#parts;
    if (typeof saga === "string") return registry.get(saga);
    const definition = definitionOf(saga) as SagaDefinition;
    const held = registry.find(definition.name, definition.version);
    // The one that was handed over runs it here: an instance of a class brings what its constructor was given.
    if (held?.graphHash === definition.graphHash) return definition;
    throw new SagaError("SAGAZ_UNKNOWN_SAGA", {
      saga: definition.name,
      version: ` version ${definition.version} with this graph`,
      hint: " Add it to `sagas` of the orchestrator.",
    });
  }

  async #toStarted(definition: SagaDefinition, input: unknown, options: StartOptions): Promise<SagaStarted> {
    const { worker, payloadBytesMax } = this.#parts;
    const accepted = await accept(definition, input);
    const { value } = toPayload(accepted, `the input of "${definition.name}"`, payloadBytesMax);
    const { idempotencyKey, correlationId, tenantId, attributes, startAt } = options;
    return {
      ...identity(definition),
      input: value ?? null,
      headers: options.headers ?? {},
      admitted: startAt === undefined && worker.hasRoom(),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(attributes === undefined ? {} : { attributes }),
      ...(startAt === undefined ? {} : { startAt: startAt.getTime() }),
    };
  }

  #handle<Output>(id: string, isNew: boolean): SagaHandle<Output> {
    return { id, isNew, result: (options) => this.result<Output>(id, options) };
  }

  /**
   * Waits for a saga's end, in whatever process that comes.
   *
   * @throws SagaError `SAGAZ_SAGA_NOT_FOUND`, `SAGAZ_RESULT_TIMEOUT`, `SAGAZ_ABORTED`, `SAGAZ_STOPPED`; the saga goes on.
   */
  async result<Output = unknown>(sagaId: string, options: WaitOptions = {}): Promise<SagaResult<Output>> {
    const { worker } = this.#parts;
    const until = options.timeoutMs === undefined ? undefined : worker.clock.monotonic() + options.timeoutMs;
    for (;;) {
      const over = await this.#stateIfOver(sagaId, options);
      const state = over ?? (await this.#untilChanged(sagaId, { ...options, until }));
      if (state) return this.#toResult<Output>(state);
      if (!worker.isRunning) throw new SagaError("SAGAZ_STOPPED", { what: "orchestrator" });
    }
  }

  #toResult<Output>(state: SagaState): SagaResult<Output> {
    const { name, version } = state.started;
    return toResult(state, this.#parts.registry.find(name, version)) as SagaResult<Output>;
  }

  /** The state of a saga that is over (or parked, if that will do); only then its journal is read. */
  async #stateIfOver(sagaId: string, { orParked = false }: WaitOptions): Promise<SagaState | undefined> {
    const runner = this.#parts.worker.find(sagaId);
    if (runner) {
      const recorded = runner.live.ackedSeq === runner.state.seq;
      return recorded && isOver(runner.state.status, orParked) ? runner.state : undefined;
    }
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    return isOver(row.status, orParked) ? this.#load(sagaId) : undefined;
  }

  #untilChanged(
    sagaId: string,
    { orParked = false, signal, timeoutMs, until }: WaitOptions & { until: number | undefined },
  ): Promise<SagaState | undefined> {
    const { endings, worker } = this.#parts;
    return new Promise((resolve, reject) => {
      const end = (call: () => void) => {
        timer?.cancel();
        stopWaiting();
        signal?.removeEventListener("abort", onAbort);
        call();
      };
      const onAbort = () => end(() => reject(new SagaError("SAGAZ_ABORTED", { sagaId })));
      const stopWaiting = endings.wait(sagaId, { orParked, wake: (state) => end(() => resolve(state)) });
      const late = () => end(() => reject(new SagaError("SAGAZ_RESULT_TIMEOUT", { sagaId, timeoutMs })));
      const timer =
        until === undefined
          ? undefined
          : worker.clock.setTimer(Math.max(1, until - worker.clock.monotonic()), late);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** One saga, or undefined. */
  async find(sagaId: string): Promise<SagaView | undefined> {
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) return undefined;
    const state = await this.#load(sagaId);
    return viewOf({ state, row, definition: this.#parts.registry.find(row.sagaName, row.version) });
  }

  /** @throws SagaError `SAGAZ_SAGA_NOT_FOUND`. */
  async get(sagaId: string): Promise<SagaView> {
    const view = await this.find(sagaId);
    if (!view) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    return view;
  }

  /** One page, newest first. */
  list(filter: Partial<SagaFilter> = {}): Promise<SagaPage> {
    return this.#parts.storage.queries.list({ limit: 50, ...filter });
  }

  /** The saga's history. */
  async events(sagaId: string): Promise<readonly JournalEntry[]> {
    const journal = await this.#parts.storage.queries.journal(sagaId);
    if (journal.length === 0) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    return journal.map(fromStored);
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
    const state = await this.#load(sagaId);
    return plan(state, this.#parts.registry.find(state.started.name, state.started.version));
  }

  async #load(sagaId: string): Promise<SagaState> {
    return fold(sagaId, await this.events(sagaId));
  }

  /**
   * Hands an external event to a saga; its signal step consumes the oldest of that name. A repeated `signalId` is dropped.
   *
   * @throws SagaError `SAGAZ_UNKNOWN_SIGNAL`, `SAGAZ_SIGNAL_INVALID`, `SAGAZ_SIGNALS_FULL`, `SAGAZ_SAGA_ENDED`, `SAGAZ_SAGA_NOT_FOUND`.
   */
  async signal(
    sagaId: string,
    signal: string,
    payload?: unknown,
    options: { readonly signalId?: string } = {},
  ): Promise<void> {
    const checked = await this.#checkSignal(sagaId, signal, payload ?? null);
    const { value } = toPayload(
      checked ?? null,
      `the payload of signal "${signal}"`,
      this.#parts.payloadBytesMax,
    );
    await this.#request(sagaId, { kind: "signal", signal, payload: value, ...options });
  }

  /** Only a process that holds the definition can check; when none of its sagas has such a schema it need not look. */
  async #checkSignal(sagaId: string, signal: string, payload: unknown): Promise<unknown> {
    const { storage, registry } = this.#parts;
    if (![...registry].some((definition) => payloadSchema(definition, signal))) return payload;
    const row = await storage.queries.find(sagaId);
    const schema = payloadSchema(row && registry.find(row.sagaName, row.version), signal);
    const checked = schema ? await validate(schema, payload) : { value: payload };
    if ("issues" in checked) throw new SagaError("SAGAZ_SIGNAL_INVALID", { signal, issues: checked.issues });
    return checked.value;
  }

  /**
   * Cancels a saga: what was done is undone. With its pivot in flight the request waits for the outcome.
   *
   * @throws SagaError `SAGAZ_PIVOT_PASSED`, `SAGAZ_SAGA_ENDED`, `SAGAZ_FORKED`, `SAGAZ_SAGA_NOT_FOUND`.
   */
  cancel(sagaId: string, reason: Reason): Promise<void> {
    return this.#request(sagaId, { kind: "cancel", ...toDeed("cancel", reason) });
  }

  /** Stops a saga from beginning anything, undo included; its time-outs stand still. */
  pause(sagaId: string, reason: Reason): Promise<void> {
    return this.#request(sagaId, { kind: "pause", ...toDeed("pause", reason) });
  }

  /** Lets a paused saga go on. */
  resume(sagaId: string, reason: Reason): Promise<void> {
    return this.#request(sagaId, { kind: "resume", ...toDeed("resume", reason) });
  }

  /** Tries again what a parked saga is parked for. @throws SagaError `SAGAZ_NOT_PARKED`. */
  retry(sagaId: string, reason: Reason): Promise<void> {
    return this.#request(sagaId, { kind: "retry", ...toDeed("retry", reason) });
  }

  /**
   * Lets a compensation go, so that the saga ends with an exception, or a forward step that nobody depends on.
   *
   * @throws SagaError `SAGAZ_STEP_NEEDED`, `SAGAZ_STEP_NOT_BLOCKED`, `SAGAZ_NOT_PARKED`.
   */
  skip(sagaId: string, step: string, reason: Reason): Promise<void> {
    return this.#request(sagaId, { kind: "skip", step, ...toDeed("skip", reason) });
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
    const checked = outcome === "done" ? await this.#checkResult(sagaId, step, answer.result) : undefined;
    const result = checked === undefined ? {} : { result: checked };
    await this.#request(sagaId, { kind: "resolve", step, outcome, ...result, ...toDeed("resolve", answer) });
  }

  async #checkResult(sagaId: string, step: string, result: unknown): Promise<unknown> {
    const row = await this.#parts.storage.queries.find(sagaId);
    const definition = row && this.#parts.registry.find(row.sagaName, row.version);
    const schema = definition?.graph.byName.get(step)?.resultSchema;
    const checked = schema ? await validate(schema, result) : { value: result };
    if ("issues" in checked)
      throw new SagaError("SAGAZ_RESULT_INVALID", { step, saga: row?.sagaName, issues: checked.issues });
    return toPayload(checked.value, `the result of step "${step}"`, this.#parts.payloadBytesMax).value;
  }

  /** Ends a parked saga as it stands: nothing more is done or undone. */
  forceClose(sagaId: string, reason: Reason): Promise<void> {
    return this.#request(sagaId, { kind: "force_close", ...toDeed("forceClose", reason) });
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
    const forkId = this.#parts.worker.newId();
    const input = "input" in options ? { input: await this.#forkInput(sagaId, options.input) } : {};
    await this.#request(sagaId, {
      kind: "fork",
      forkId,
      fromStep: options.fromStep,
      ...input,
      ...toDeed("fork", options),
    });
    return this.#handle(forkId, true);
  }

  async #forkInput(sagaId: string, input: unknown): Promise<unknown> {
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    const definition = this.#parts.registry.find(row.sagaName, row.version);
    const accepted = definition ? await accept(definition, input) : input;
    return toPayload(accepted, `the input of "${row.sagaName}"`, this.#parts.payloadBytesMax).value ?? null;
  }

  /** Stores the request as mail to the saga's owner, whoever that is, and waits for its answer. */
  async #request(sagaId: string, request: SagaRequest): Promise<void> {
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
}

function payloadSchema(definition: SagaDefinition | undefined, signal: string): StandardSchema | undefined {
  return definition?.steps.find((step) => step.kind === "signal" && step.signal === signal)?.resultSchema;
}

function toRefusal({ code, details }: Extract<MailOutcome, { kind: "refused" }>): SagaError {
  return new SagaError(code as SagaErrorCode, JSON.parse(details) as Record<string, unknown>);
}

function toDeed(request: string, { reason, actor = "unknown" }: Reason): { actor: string; reason: string } {
  if (typeof reason !== "string" || reason.trim() === "")
    throw new SagaError("SAGAZ_REASON_REQUIRED", { request });
  return { actor, reason };
}

async function accept(definition: SagaDefinition, input: unknown): Promise<unknown> {
  if (!definition.inputSchema) return input;
  const checked = await validate(definition.inputSchema, input);
  if ("issues" in checked)
    throw new SagaError("SAGAZ_INPUT_INVALID", { saga: definition.name, issues: checked.issues });
  return checked.value;
}

/** SHA-256 of the canonical JSON (RFC 8785) of the input: the same input, whatever the order of its keys. */
function hashOf({ idempotencyKey, input }: SagaStarted): { inputHash: string | null } {
  if (idempotencyKey === undefined) return { inputHash: null };
  return { inputHash: createHash("sha256").update(canonicalJson(input)).digest("hex") };
}

function isOver(status: SagaRow["status"], orParked: boolean): boolean {
  return isEnded(status) || (orParked && status === "parked");
}
