import type { SagaDefinition } from "../core/definition/definition.ts";
import { actionKeyOf } from "../core/decide/task.ts";
import type { JournalEntry, Parent, Reused, SagaStarted } from "../core/saga/events.ts";
import type { SagaState, StepState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { WaitReason } from "../core/saga/status.ts";
import { must } from "../core/must.ts";
import { fromText } from "./payload.ts";
import type { SagaRequest } from "../core/decide/requests.ts";
import type { EventRow, Mail, NewMail, RowChange, StartRow, StoredEvent } from "../ports/storage.ts";

/** An event as it is stored. */
export function toEventRow(entry: JournalEntry): EventRow {
  return { type: entry.type, step: "step" in entry ? entry.step : null, data: JSON.stringify(entry.data) };
}

/** An event as it was stored. */
export function fromStored({ seq, at, type, step, data }: StoredEvent): JournalEntry {
  const fields = { type, data: fromText(data), seq, at, ...(step === null ? {} : { step }) };
  return fields as unknown as JournalEntry;
}

/** A saga that is being started: as it goes on record, and as it comes into memory. */
export interface NewSaga {
  readonly definition: SagaDefinition;
  /** What `row.started` says, as it would be read back: frozen. */
  readonly started: SagaStarted;
  readonly row: StartRow;
}

/** The row of a new saga. */
export function toStartRow(
  sagaId: string,
  started: SagaStarted,
  key: { readonly inputHash: string | null } = { inputHash: null },
): StartRow {
  return {
    sagaId,
    sagaName: started.name,
    version: started.version,
    graphHash: started.graphHash,
    tenantId: started.tenantId ?? null,
    correlationId: started.correlationId ?? null,
    owned: started.admitted,
    wakeAt: started.startAt ?? null,
    idempotencyKey: started.idempotencyKey ?? null,
    inputHash: key.inputHash,
    attributes: started.attributes ? JSON.stringify(started.attributes) : null,
    parentId: started.parent?.sagaId ?? null,
    started: { type: "saga_started", step: null, data: JSON.stringify(started) },
  };
}

function toErrorLine({ failure, parked }: SagaState): string | null {
  if (!failure) return parked?.detail ?? null;
  switch (failure.kind) {
    case "step":
      return `${failure.step}: ${failure.error.message}`;
    case "timeout":
      return "the saga timed out";
    case "cancel":
      return `cancelled by ${failure.actor}: ${failure.reason}`;
  }
}

/** A saga's row: what its journal decides, what the saga waits for, and whether it is given up. */
export function toRowChange(
  state: SagaState,
  { waitingFor, release }: { waitingFor: WaitReason | null; release: RowChange["release"] },
): RowChange {
  const stands = state.parked !== undefined || state.pausedAt !== undefined;
  return {
    status: state.status,
    waitingFor: stands ? "operator" : waitingFor,
    parkedReason: state.parked?.reason ?? null,
    paused: state.pausedAt !== undefined,
    // The one column of plain text that users fill: no database keeps a NUL there.
    error: toErrorLine(state)?.replaceAll("\0", "␀") ?? null,
    output: state.output === undefined ? null : JSON.stringify(state.output),
    finished: isEnded(state.status),
    release,
  };
}

/** New sagas that an event brings about: they exist if and only if it is recorded. */
export function toSpawn(event: JournalEntry, { definition, state }: Scope): StartRow | undefined {
  if (event.type === "child_started") return childRow(event, { definition, state });
  if (event.type === "saga_forked")
    return toStartRow(event.data.forkId, toForkStart(event, { definition, state }));
  return undefined;
}

interface Scope {
  readonly definition: SagaDefinition;
  readonly state: SagaState;
}

function childRow(
  event: Extract<JournalEntry, { type: "child_started" }>,
  { definition, state }: Scope,
): StartRow {
  const step = definition.graph.byName.get(event.step);
  must(step?.kind === "child", "child_started belongs to a child step");
  const { started } = state;
  return toStartRow(event.data.childId, {
    ...identity(step.child),
    input: event.data.input,
    headers: started.headers,
    ...(started.correlationId === undefined ? {} : { correlationId: started.correlationId }),
    ...(started.tenantId === undefined ? {} : { tenantId: started.tenantId }),
    admitted: false,
    parent: { sagaId: state.sagaId, step: event.step },
  });
}

/** Name, version and graph that pin a saga to its definition. */
function identity(definition: SagaDefinition): Pick<SagaStarted, "name" | "version" | "graphHash" | "pivot"> {
  const { name, version, graphHash, pivot } = definition;
  return { name, version, graphHash, ...(pivot === undefined ? {} : { pivot }) };
}

/** A fork reuses the steps that are still done and do not come after the one it starts from. */
function toForkStart(
  event: Extract<JournalEntry, { type: "saga_forked" }>,
  { definition, state }: Scope,
): SagaStarted {
  const { fromStep } = event.data;
  const reused: Record<string, Reused> = {};
  for (const [name, step] of state.steps) {
    if (runsAgain(definition, { name, fromStep })) continue;
    for (const one of [step, ...step.itemStates]) {
      if (one?.status === "done")
        reused[one.key] = { ...toReused(one), actionKey: actionKeyOf(state, one.key) };
      else if (one?.itemsDone && one.items) reused[one.key] = { items: one.items };
    }
  }
  const { parent: _parent, idempotencyKey: _key, startAt: _startAt, ...started } = state.started;
  return {
    ...started,
    ...("input" in event.data ? { input: event.data.input } : {}),
    admitted: false,
    forkOf: { sagaId: state.sagaId, fromStep },
    reused,
  };
}

function runsAgain(
  definition: SagaDefinition,
  { name, fromStep }: { name: string; fromStep: string },
): boolean {
  return name === fromStep || definition.graph.ancestors.get(name)?.has(fromStep) === true;
}

function toReused({ result = null, items, childId, childParked }: StepState): Reused {
  const closed = childParked === "forced_closed" ? { childParked } : {};
  return { result, ...(items ? { items } : {}), ...(childId === undefined ? {} : { childId, ...closed }) };
}

const NO_MAILS: readonly NewMail[] = [];

/** Requests to other sagas that an event brings about. */
export function toMails(event: JournalEntry, { definition, state }: Scope): readonly NewMail[] {
  const { sagaId, parent } = state;
  if (event.type === "saga_forked") return toNewParents(event, { definition, state });
  if (event.type === "child_undo_requested") {
    const childId = state.steps.get(event.step)?.childId;
    must(childId !== undefined, "a child is undone after it was started");
    const reason = `step "${event.step}" of ${definition.name} ${sagaId} is undone`;
    return [toMail(`${sagaId}/${event.step}/undo`, childId, { kind: "cancel", actor: "parent", reason })];
  }
  if (!parent) return NO_MAILS;
  const mailId = `${sagaId}/${event.seq}`;
  if (event.type === "saga_parked") {
    return [
      toMail(mailId, parent.sagaId, {
        kind: "child_parked",
        step: parent.step,
        childId: sagaId,
        reason: event.data.reason,
      }),
    ];
  }
  const ended =
    event.type === "saga_completed" ||
    event.type === "saga_compensated" ||
    event.type === "saga_force_closed";
  return ended ? [toMail(mailId, parent.sagaId, childEnded(parent, { definition, state }))] : [];
}

/** Children whose steps the fork takes over: it undoes them, so they have to tell it of their end. */
function toNewParents(
  event: Extract<JournalEntry, { type: "saga_forked" }>,
  { definition, state }: Scope,
): NewMail[] {
  const { forkId, fromStep } = event.data;
  return Array.from(state.steps.values()).flatMap(({ key: step, status, childId }) => {
    if (status !== "done" || childId === undefined || runsAgain(definition, { name: step, fromStep }))
      return [];
    const request = { kind: "new_parent", from: state.sagaId, parent: { sagaId: forkId, step } } as const;
    return [toMail(`${forkId}/${step}/parent`, childId, request)];
  });
}

/** What a child tells its parent at its end. */
function childEnded({ step }: Parent, { definition, state }: Scope, detail?: string): SagaRequest {
  const output = definition.output ? state.output : outputOf(state);
  const text = detail ?? toErrorLine(state);
  return {
    kind: "child_ended",
    step,
    childId: state.sagaId,
    status: state.status,
    ...(state.status === "completed" ? { output } : {}),
    ...(text === null ? {} : { detail: text }),
  };
}

/**
 * A parent that wants this child undone must not wait for ever for an end that has been, or cannot be: when the child
 * has ended and refuses, its parent hears of that end. Undefined when there is nobody to tell.
 */
export function cancelRefused(mail: Mail, refusal: Error, { definition, state }: Scope): NewMail | undefined {
  const { parent } = state;
  if (!parent || !isEnded(state.status)) return undefined;
  const end = childEnded(parent, { definition, state }, refusal.message);
  // A child that stays completed although its undo was asked for is for a person to look at, as a closed one is.
  const status = state.status === "completed" ? "forced_closed" : state.status;
  return toMail(`${state.sagaId}/${mail.mailId}`, parent.sagaId, { ...end, status } as SagaRequest);
}

/** Without an output function, a saga's output is the results of its steps, keyed by name. */
export function outputOf(state: SagaState): unknown {
  if (state.status !== "completed") return undefined;
  if (state.output !== undefined) return state.output;
  const results: Record<string, unknown> = {};
  for (const [name, step] of state.steps) if (step.status === "done") results[name] = step.result;
  return results;
}

/** A request as mail. */
export function toMail(mailId: string, sagaId: string, request: SagaRequest): NewMail {
  return { mailId, sagaId, kind: request.kind, body: JSON.stringify(request) };
}
