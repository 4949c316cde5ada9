import { correlationOf, writtenAt, type Enveloped } from "./envelope.ts";

/** An event as a tracker has seen it: everything but its payload. */
export interface FlowEvent {
  readonly eventId: string;
  /** The flow that it belongs to. */
  readonly flowId: string;
  /** The event that it follows from; null when it begins the flow, or nobody said. */
  readonly causationId: string | null;
  readonly topic: string;
  readonly key: string;
  readonly type: string;
  readonly source: string;
  /** `failure`: something could not be done; `compensation`: something was taken back. */
  readonly role: string | null;
  readonly sagaId: string | null;
  /** When it was written: milliseconds since 1970, by the clock of whoever wrote it. */
  readonly at: number;
}

/** No id of ours is longer. */
const ID_LENGTH_MAX = 500;

/** What there is to know of a flow from a message; undefined for one that is no event of ours, by its ids. */
export function toFlowEvent({ topic, key, headers }: Enveloped, now: number): FlowEvent | undefined {
  const find = (name: string) => headers[name] ?? null;
  const eventId = find("ce_id") ?? "";
  const flowId = correlationOf(headers) ?? eventId;
  if (eventId === "" || Math.max(eventId.length, flowId.length) > ID_LENGTH_MAX) return undefined;
  return {
    eventId,
    flowId,
    causationId: find("causation-id"),
    topic,
    key,
    type: find("ce_type") ?? "",
    source: find("ce_source") ?? "",
    role: find("flow-role"),
    sagaId: find("saga-id"),
    at: writtenAt(headers) ?? now,
  };
}

/** An event with those that follow from it, in the order of their times. */
interface Branch {
  readonly event: FlowEvent;
  readonly next: readonly Branch[];
}

/** Draws a flow as a tree, one line an event: its type, its topic, how long after the flow's beginning, and its role. */
export function drawFlow(events: readonly FlowEvent[]): string {
  const inOrder = [...events].sort((a, b) => a.at - b.at || (a.eventId < b.eventId ? -1 : 1));
  const beganAt = inOrder[0]?.at ?? 0;
  return toBranches(inOrder)
    .flatMap((branch) => draw(branch, beganAt))
    .join("\n");
}

/** What nobody has seen the cause of stands at the root. An event that follows from itself, over others or not, does too. */
function toBranches(events: readonly FlowEvent[]): readonly Branch[] {
  const known = new Set(events.map(({ eventId }) => eventId));
  const followers = new Map<string | null, FlowEvent[]>();
  for (const event of events) {
    const { causationId } = event;
    const cause = causationId !== null && known.has(causationId) ? causationId : null;
    followers.set(cause, [...(followers.get(cause) ?? []), event]);
  }
  const drawn = new Set<string>();
  const grow = (event: FlowEvent): Branch => {
    drawn.add(event.eventId);
    return { event, next: (followers.get(event.eventId) ?? []).map(grow) };
  };
  const roots = (followers.get(null) ?? []).map(grow);
  const inCircles: Branch[] = [];
  for (const event of events) {
    if (drawn.has(event.eventId)) continue;
    drawn.add(event.eventId);
    inCircles.push({ event, next: [] });
  }
  return [...roots, ...inCircles];
}

function draw({ event, next }: Branch, beganAt: number): readonly string[] {
  const { type, topic, at, role } = event;
  const after = at === beganAt ? new Date(at).toISOString() : `+${at - beganAt} ms`;
  const line = [`${type}  ${topic}  ${after}`, role].filter((part) => part !== null).join("  ");
  const followers = next.flatMap((branch, n) => {
    const isLast = n === next.length - 1;
    return draw(branch, beganAt).map((text, row) => {
      if (row === 0) return `${isLast ? "└─" : "├─"} ${text}`;
      return `${isLast ? "  " : "│ "} ${text}`;
    });
  });
  return [line, ...followers];
}
