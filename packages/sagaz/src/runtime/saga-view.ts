import type { SagaDefinition } from "../core/definition/definition.ts";
import type { RecordedError } from "../core/saga/events.ts";
import { newStepState } from "../core/saga/state.ts";
import type { SagaState, StepState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { SagaStatus, StepStatus, WaitReason } from "../core/saga/status.ts";
import type { SagaRow } from "../ports/storage.ts";
import { toResult } from "./saga-result.ts";
import type { SagaResult } from "./saga-result.ts";

/** One saga as a person wants to see it. */
export interface SagaView extends SagaResult<unknown> {
  readonly sagaName: string;
  readonly version: number;
  readonly input: unknown;
  readonly waitingFor: WaitReason | null;
  readonly paused: boolean;
  /** Not before this time something happens by itself; undefined when it runs, or waits for somebody. */
  readonly wakeAt: Date | undefined;
  readonly tenantId: string | undefined;
  readonly correlationId: string | undefined;
  readonly parentId: string | undefined;
  readonly forkOf: string | undefined;
  readonly forkId: string | undefined;
  readonly steps: readonly StepView[];
  /** Seq of the last event. */
  readonly seq: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly finishedAt: Date | undefined;
}

/** One step, or one item of a map step. */
export interface StepView {
  readonly step: string;
  readonly status: StepStatus;
  readonly dependsOn: readonly string[];
  readonly attempts: number;
  readonly undoAttempts: number;
  readonly result: unknown;
  readonly error: RecordedError | undefined;
  readonly undoError: RecordedError | undefined;
  readonly childId: string | undefined;
  readonly blocked: string | undefined;
}

/** Puts together what the journal says with what the row says about waiting. */
export function viewOf(from: {
  readonly state: SagaState;
  readonly row?: SagaRow;
  readonly definition?: SagaDefinition | undefined;
}): SagaView {
  const { state, row, definition } = from;
  const { started } = state;
  return {
    ...toResult(state, definition),
    sagaName: started.name,
    version: started.version,
    input: started.input,
    waitingFor: row?.waitingFor ?? null,
    paused: state.pausedAt !== undefined,
    wakeAt: toDate(row?.wakeAt),
    tenantId: started.tenantId,
    correlationId: started.correlationId,
    parentId: started.parent?.sagaId,
    forkOf: started.forkOf?.sagaId,
    forkId: state.forkId,
    steps: stepViews(state, definition),
    seq: state.seq,
    createdAt: new Date(state.createdAt),
    updatedAt: new Date(state.at),
    finishedAt: toDate(state.finishedAt),
  };
}

function toDate(ms: number | null | undefined): Date | undefined {
  return ms === null || ms === undefined ? undefined : new Date(ms);
}

function stepViews(state: SagaState, definition: SagaDefinition | undefined): StepView[] {
  const names = definition ? definition.steps.map(({ name }) => name) : [...state.steps.keys()];
  return names.flatMap((name) => {
    const dependsOn = definition?.graph.byName.get(name)?.dependsOn ?? [];
    const step = state.steps.get(name) ?? newStepState(name);
    const items = step.itemStates.filter((item) => item !== undefined);
    return [step, ...items].map((one) => stepView(state, one, dependsOn));
  });
}

function stepView(state: SagaState, step: StepState, dependsOn: readonly string[]): StepView {
  const { key, tries, result, error, undoError, childId } = step;
  return {
    step: key,
    status: statusOf(state, step, dependsOn),
    dependsOn,
    attempts: tries.action,
    undoAttempts: tries.undo,
    result,
    error,
    undoError,
    childId,
    blocked: state.blocked.get(key),
  };
}

/** The graph is static: an open step whose dependencies are done is running, without any event that says so. */
function statusOf(state: SagaState, step: StepState, dependsOn: readonly string[]): StepStatus {
  const { status } = step;
  if (isEnded(state.status)) return status;
  if (state.direction === "backward") return isUndoing(state.status, step) ? "compensating" : status;
  if (status !== "pending" || state.status !== "running") return status;
  return dependsOn.every((name) => state.steps.get(name)?.status === "done") ? "running" : "pending";
}

function isUndoing(saga: SagaStatus, { tries, status }: StepState): boolean {
  return saga === "compensating" && tries.undo > 0 && (status === "done" || status === "maybe_done");
}
