import { LIMITS } from "../definition/policies.ts";
import type { SagaState } from "./state.ts";

/** Ids are remembered up to the limit of waiting signals: a repeat comes soon after, or was journalled long ago. */
export function rememberSignal(state: SagaState, signalId: string): void {
  state.signalIds.set(signalId, true);
  if (state.signalIds.size > LIMITS.signalsWaitingMax) {
    for (const oldest of state.signalIds.keys()) {
      state.signalIds.delete(oldest);
      break;
    }
  }
}
