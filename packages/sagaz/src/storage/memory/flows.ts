import type { FlowEvent, FlowStorage } from "../../ports/flows.ts";
import type { Tables } from "./tables.ts";

/** The flows of the tables. */
export function flowsIn(tables: Tables): FlowStorage {
  return {
    async record(events) {
      for (const event of events) tables.flows.add(event, tables.now());
    },
    async list({ flowId, limit }) {
      return [...tables.flows.list(flowId)].sort(inOrder).slice(0, limit);
    },
  };
}

function inOrder(a: FlowEvent, b: FlowEvent): number {
  return a.at - b.at || (a.eventId < b.eventId ? -1 : 1);
}
