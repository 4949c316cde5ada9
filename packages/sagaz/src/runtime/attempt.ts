import type { SqlRunner, StepContext, StepLog, StepMethod, UndoContext } from "../core/definition/context.ts";
import { toOutboxRow } from "../core/delivery/outbox-event.ts";
import type { OutboxEvent, OutboxRow } from "../core/delivery/outbox-event.ts";
import { toCommandEvent } from "./command-event.ts";
import type { ReplyAddresses } from "./command-event.ts";
import { stepNameOf } from "../core/definition/decorators.ts";
import { fromThrown, toRecordedError } from "../core/decide/outcome.ts";
import type { Outcome } from "../core/decide/outcome.ts";
import { actionKeyOf, idempotencyKey } from "../core/decide/task.ts";
import type { LiveTask, Task } from "../core/decide/view.ts";
import type { CommandStep, SagaDefinition, StepDefinition } from "../core/definition/definition.ts";
import type { StandardSchema } from "../core/definition/standard-schema.ts";
import { LIMITS } from "../core/definition/policies.ts";
import { SagaError } from "../core/errors.ts";
import { keepJson } from "../core/json.ts";
import type { SagaEvent } from "../core/saga/events.ts";
import { findStep } from "../core/saga/state.ts";
import type { SagaState } from "../core/saga/state.ts";
import type { Log } from "../ports/log.ts";
import { LazyAbort } from "./lazy-abort.ts";
import { validate } from "./payload.ts";

const NONE: readonly never[] = [];

/** What an attempt can achieve. */
const RESULTS: ReadonlySet<SagaEvent["type"]> = new Set([
  "step_done",
  "step_compensated",
  "late_effect",
  "command_sent",
  "map_listed",
  "timer_set",
  "child_started",
]);

/** So many events may be published in one call of a function. */
const EVENTS_PER_CALL_MAX = 1_000;

/** What an attempt may look at. */
export interface AttemptScope {
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly log: Log;
  readonly payloadBytesMax: number;
  /** Where participants send their replies to. */
  readonly replyTo: ReplyAddresses;
  readonly now: number;
  /** Makes the id of a child saga, or of an event. */
  newId(): string;
}

/** One call of a user's function, and the means to stop it. */
export class Attempt implements LiveTask {
  readonly task: Task;
  readonly startedAt: number;
  abortedAt: number | undefined;
  abortedFor: "timeout" | "cut_off" | undefined;
  /** Events to publish if what it returns is recorded. */
  #published: OutboxRow[] | undefined;
  #hasSettled = false;
  readonly #scope: AttemptScope;
  readonly #stop = new LazyAbort();

  constructor(task: Task, startedAt: number, scope: AttemptScope) {
    this.task = task;
    this.startedAt = startedAt;
    this.#scope = scope;
  }

  /** Tells the function to stop. What it does from now on is its own affair, but what it returns still counts. */
  abort(cause: "timeout" | "cut_off", at: number): void {
    if (this.abortedFor) return;
    this.abortedAt = at;
    this.abortedFor = cause;
    this.#stop.abort(this.#abortReason());
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  #abortReason(): SagaError {
    const { step, key, kind } = this.task;
    if (this.abortedFor === "cut_off") return new SagaError("SAGAZ_STOPPED", { what: `step "${key}"` });
    return new SagaError("SAGAZ_ATTEMPT_TIMEOUT", {
      what: kind,
      step: key,
      timeoutMs: step.attemptTimeoutMs,
    });
  }

  /** Calls the function, and later says once how it ended. Never throws. */
  run(settled: (outcome: Outcome) => void, tx?: SqlRunner): void {
    let result: Promise<unknown>;
    try {
      result = Promise.resolve(this.#call(tx));
    } catch (thrown) {
      result = Promise.reject(thrown);
    }
    void result.then(
      (value) => {
        this.#hasSettled = true;
        this.#returned(value, settled);
      },
      (thrown) => {
        this.#hasSettled = true;
        settled(this.#failed(thrown));
      },
    );
  }

  /** Keeps an event until the result is recorded. */
  publish(event: OutboxEvent): void {
    const { key: step } = this.task;
    if (this.#hasSettled) throw new SagaError("SAGAZ_CALL_SETTLED", { whose: `step "${step}"` });
    const published = (this.#published ??= []);
    if (published.length >= EVENTS_PER_CALL_MAX)
      throw new SagaError("SAGAZ_TOO_MANY_EVENTS", { step, limit: EVENTS_PER_CALL_MAX });
    published.push(this.#toRow(event));
  }

  #toRow(event: OutboxEvent): OutboxRow {
    const { state, definition, payloadBytesMax } = this.#scope;
    const { headers, correlationId } = state.started;
    return toOutboxRow(event, {
      newId: () => this.#scope.newId(),
      source: `/sagaz/${definition.name}`,
      bytesMax: payloadBytesMax,
      sagaId: state.sagaId,
      aggregateType: definition.name,
      correlationId,
      traceparent: headers["traceparent"],
    });
  }

  /** What it has published goes with its result, if one of these events is that. */
  publishedWith(events: readonly SagaEvent[]): readonly OutboxRow[] {
    return this.#published && events.some(({ type }) => RESULTS.has(type)) ? this.#published : NONE;
  }

  #returned(result: unknown, settled: (outcome: Outcome) => void): void {
    const { kind, step } = this.task;
    const schema = kind === "do" ? step.resultSchema : undefined;
    if (!schema) return settled(this.#kept(result));
    void this.#checked(schema, result).then(
      (checked) => settled(this.#kept(checked)),
      (error) => settled(this.#unusable(error)),
    );
  }

  #kept(result: unknown): Outcome {
    try {
      return { type: "done", result: this.#toKeep(result) };
    } catch (unusable) {
      return this.#unusable(unusable);
    }
  }

  #call(tx: SqlRunner | undefined): unknown {
    const { task } = this;
    const { step } = task;
    if (task.kind === "undo") return "undo" in step ? step.undo?.(this.#undoContext(tx)) : undefined;
    const ctx = new StepCall(this, this.#scope, tx) as unknown as StepContext;
    if (task.kind === "verify") return "verify" in step ? step.verify?.(ctx) : undefined;
    if (task.kind === "prepare") return prepare(step, ctx);
    return "do" in step ? step.do(ctx) : undefined;
  }

  #undoContext(tx: SqlRunner | undefined): UndoContext {
    return new UndoCall(this, this.#scope, tx) as unknown as UndoContext;
  }

  #failed(thrown: unknown): Outcome {
    const outcome = fromThrown(thrown, this.abortedFor);
    if (outcome.type !== "failed" || outcome.final) return outcome;
    const { retry, undoRetry } = this.task.step;
    const { when } = this.task.kind === "undo" ? undoRetry : retry;
    if (!when) return outcome;
    try {
      return when(thrown) ? outcome : { ...outcome, final: true };
    } catch (error) {
      return { ...outcome, error: toRecordedError(error, "error"), final: true };
    }
  }

  async #checked(schema: StandardSchema, result: unknown): Promise<unknown> {
    const checked = await validate(schema, result);
    if (!("issues" in checked)) return checked.value;
    const { name: saga } = this.#scope.definition;
    throw new SagaError("SAGAZ_RESULT_INVALID", { step: this.task.key, saga, issues: checked.issues });
  }

  #toKeep(result: unknown): unknown {
    const { kind, key, step } = this.task;
    if (step.kind === "command" && kind !== "verify") return this.#send(step, result);
    if (kind === "prepare") return this.#acceptPrepared(result);
    return this.#keep(result, `the result of ${kind === "do" ? "step" : kind} "${key}"`);
  }

  /** The message goes out in the write that says that it was sent. */
  #send(step: CommandStep, payload: unknown): void {
    const kept = this.#keep(payload, `the payload of command "${this.task.key}"`);
    const event = toCommandEvent({ task: this.task, step, payload: kept }, this.#scope);
    (this.#published ??= []).push(this.#toRow(event));
  }

  #acceptPrepared(result: unknown): unknown {
    const { step, key } = this.task;
    const where = `step "${key}"`;
    if (step.kind === "sleep") return toDelay(result, where);
    if (step.kind === "map") return toItems(result, { key, bytesMax: this.#scope.payloadBytesMax });
    const input = this.#keep(result, `the input of the child saga of ${where}`);
    return { childId: this.#scope.newId(), input };
  }

  #keep(value: unknown, what: string): unknown {
    return keepJson(value, { what, bytesMax: this.#scope.payloadBytesMax });
  }

  /** The function returned, so its effect stands: what cannot be kept is an unknown outcome, never a failure. */
  #unusable(error: unknown): Outcome {
    const recorded = toRecordedError(error, "ambiguous");
    const { kind, step } = this.task;
    if (kind === "prepare" || (kind === "undo" && step.kind === "command"))
      return { type: "failed", error: toRecordedError(error, "error"), final: true };
    if (kind === "undo") {
      this.#scope.log.warn(
        "sagaz: a compensation returned a value that cannot be kept; it is recorded as done",
        {
          sagaId: this.#scope.state.sagaId,
          step: this.task.key,
          message: recorded.message,
        },
      );
      return { type: "done", result: undefined };
    }
    return { type: "unknown", error: recorded, final: true };
  }
}

function prepare(step: StepDefinition, ctx: StepContext): unknown {
  if (step.kind === "sleep") return step.forMs(ctx);
  if (step.kind === "map") return step.over(ctx);
  if (step.kind === "command") return step.payload(ctx);
  return step.kind === "child" ? step.input(ctx) : undefined;
}

function toDelay(value: unknown, where: string): number {
  const { durationMsMax } = LIMITS;
  if (typeof value === "number" && value >= 0 && value <= durationMsMax) return value;
  const rule = `it must be a number of milliseconds from 0 to durationMsMax = ${durationMsMax}`;
  throw new SagaError("SAGAZ_INVALID_OPTION", { where, option: "forMs", value: String(value), rule });
}

function toItems(value: unknown, { key, bytesMax }: { key: string; bytesMax: number }): unknown {
  const where = `step "${key}"`;
  if (!Array.isArray(value)) {
    throw new SagaError("SAGAZ_INVALID_OPTION", {
      where,
      option: "over",
      value: typeof value,
      rule: "it must return an array",
    });
  }
  const limit = LIMITS.mapItemsMax;
  if (value.length > limit)
    throw new SagaError("SAGAZ_MAP_TOO_LONG", { step: key, length: value.length, limit });
  return keepJson(value, { what: `the list of ${where}`, bytesMax });
}

/** What the contexts of actions and compensations share. Getters, so that what nobody reads costs nothing. */
class Call {
  protected readonly attemptOf: Attempt;
  protected readonly scope: AttemptScope;
  readonly #tx: SqlRunner | undefined;

  constructor(attempt: Attempt, scope: AttemptScope, tx: SqlRunner | undefined) {
    this.attemptOf = attempt;
    this.scope = scope;
    this.#tx = tx;
  }

  get input(): unknown {
    return this.scope.state.started.input;
  }
  get sagaId(): string {
    return this.scope.state.sagaId;
  }
  get step(): string {
    return this.attemptOf.task.key;
  }
  get attempt(): number {
    return this.attemptOf.task.attempt;
  }
  get idempotencyKey(): string {
    return idempotencyKey(this.scope.state.sagaId, this.attemptOf.task);
  }
  get signal(): AbortSignal {
    return this.attemptOf.signal;
  }
  get headers(): Readonly<Record<string, string>> {
    return this.scope.state.started.headers;
  }
  get index(): number | undefined {
    return this.attemptOf.task.index;
  }
  get item(): unknown {
    const { step, index } = this.attemptOf.task;
    return index === undefined ? undefined : this.scope.state.steps.get(step.name)?.items?.[index];
  }
  get log(): StepLog {
    const ids = { sagaId: this.sagaId, step: this.step };
    const { log } = this.scope;
    return {
      debug: (message, details) => log.debug(message, { ...ids, ...details }),
      info: (message, details) => log.info(message, { ...ids, ...details }),
      warn: (message, details) => log.warn(message, { ...ids, ...details }),
      error: (message, details) => log.error(message, { ...ids, ...details }),
    };
  }
  publish(event: OutboxEvent): void {
    this.attemptOf.publish(event);
  }
  get tx(): SqlRunner {
    if (!this.#tx) throw new SagaError("SAGAZ_NOT_TRANSACTIONAL", { step: this.step });
    return this.#tx;
  }
  get results(): Readonly<Record<string, unknown>> {
    return resultsBefore(this.scope, this.attemptOf.task.step);
  }

  resultOf<Result>(method: StepMethod<Result>): Awaited<Result> {
    const other = stepNameOf(method) ?? method.name;
    return this.results[other] as Awaited<Result>;
  }
}

class StepCall extends Call {}

class UndoCall extends Call {
  get outcome(): "done" | "unknown" {
    return findStep(this.scope.state, this.step)?.status === "done" ? "done" : "unknown";
  }
  get result(): unknown {
    if (this.outcome === "unknown") throw new SagaError("SAGAZ_RESULT_UNKNOWN", { step: this.step });
    return findStep(this.scope.state, this.step)?.result;
  }
  get actionKey(): string {
    return actionKeyOf(this.scope.state, this.step);
  }
  get undone(): Readonly<Record<string, unknown>> {
    const undone: Record<string, unknown> = {};
    for (const step of this.scope.state.steps.values()) {
      for (const one of [step, ...step.itemStates])
        if (one?.status === "compensated") undone[one.key] = one.undoResult;
    }
    return undone;
  }
}

/** Results of a step's dependencies; any other name throws, so that no step comes to rely on luck. */
function resultsBefore(
  { definition, state }: AttemptScope,
  step: StepDefinition,
): Readonly<Record<string, unknown>> {
  const ancestors = definition.graph.ancestors.get(step.name);
  const results: Record<string, unknown> = {};
  for (const name of ancestors ?? []) {
    const known = state.steps.get(name);
    // A dependency that was undone before this step's own undo keeps the result that the action saw.
    if (known && known.status !== "pending") results[name] = known.result;
  }
  return new Proxy(results, {
    get(target, name) {
      if (typeof name !== "string" || ancestors?.has(name) || !definition.graph.byName.has(name)) {
        return Reflect.get(target, name) as unknown;
      }
      throw new SagaError("SAGAZ_NOT_A_DEPENDENCY", { step: step.name, other: name });
    },
  });
}
