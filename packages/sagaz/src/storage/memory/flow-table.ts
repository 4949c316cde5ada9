import type { FlowEvent } from "../../ports/flows.ts";

/** Events that trackers have seen, in memory. */
export class FlowTable {
  readonly #flows = new Map<string, Map<string, { readonly event: FlowEvent; readonly seenAt: number }>>();

  add(event: FlowEvent, seenAt: number): void {
    const flow = this.#flows.get(event.flowId) ?? new Map<string, never>();
    this.#flows.set(event.flowId, flow);
    if (!flow.has(event.eventId)) flow.set(event.eventId, { event, seenAt });
  }

  list(flowId: string): readonly FlowEvent[] {
    return [...(this.#flows.get(flowId)?.values() ?? [])].map(({ event }) => event);
  }

  /** Forgets what was seen before a time. */
  clear(before: number): void {
    for (const [flowId, flow] of this.#flows) {
      for (const [eventId, { seenAt }] of flow) if (seenAt < before) flow.delete(eventId);
      if (flow.size === 0) this.#flows.delete(flowId);
    }
  }
}
