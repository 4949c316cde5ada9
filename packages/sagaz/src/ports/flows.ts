import type { FlowEvent } from "../core/delivery/flow.ts";

export type { FlowEvent } from "../core/delivery/flow.ts";

/**
 * Events that trackers have seen, by the flow that they belong to. Forgotten after 35 days, as what consumers have
 * processed.
 *
 * Errors are those of `SagaStorage`.
 */
export interface FlowStorage {
  /** Keeps what a tracker has seen, once each: what is known already is passed over. */
  record(events: readonly FlowEvent[]): Promise<void>;
  /** The oldest events of a flow, in the order of their times. */
  list(flow: { readonly flowId: string; readonly limit: number }): Promise<readonly FlowEvent[]>;
}
