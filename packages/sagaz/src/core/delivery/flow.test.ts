import { describe, expect, test } from "vitest";
import { drawFlow, toFlowEvent, type FlowEvent } from "./flow.ts";

const beganAt = Date.UTC(2026, 10, 27, 12);

function event(eventId: string, causationId: string | null, more: Partial<FlowEvent> = {}): FlowEvent {
  return {
    eventId,
    flowId: "flow",
    causationId,
    topic: "orders",
    key: "k",
    type: `${eventId}.happened`,
    source: "/test",
    role: null,
    sagaId: null,
    at: beganAt,
    ...more,
  };
}

describe("what a tracker sees of a message", () => {
  const message = { topic: "orders", key: "k", payload: "{}" };

  test("is everything but its payload", () => {
    const headers = {
      ce_id: "e2",
      ce_type: "order.placed",
      ce_source: "/shop",
      ce_time: "2026-11-27T12:00:00.000Z",
      "correlation-id": "flow",
      "causation-id": "e1",
      "flow-role": "failure",
      "saga-id": "saga",
    };
    expect(toFlowEvent({ ...message, headers }, 5)).toEqual(
      event("e2", "e1", { type: "order.placed", source: "/shop", role: "failure", sagaId: "saga" }),
    );
  });

  test("begins a flow of its own when it belongs to none", () => {
    expect(toFlowEvent({ ...message, headers: { ce_id: "e1" } }, 5)).toEqual(
      event("e1", null, { flowId: "e1", type: "", source: "", at: 5 }),
    );
  });

  test("begins a flow of its own when its correlation id is empty: all such would be one flow", () => {
    const headers = { ce_id: "e1", "correlation-id": "" };
    expect(toFlowEvent({ ...message, headers }, 5)).toMatchObject({ flowId: "e1" });
  });

  test.each([
    ["no id", {}],
    ["an empty id", { ce_id: "" }],
    ["an id that is too long", { ce_id: "x".repeat(501) }],
    ["a flow's id that is too long", { ce_id: "e", "correlation-id": "x".repeat(501) }],
  ])("is nothing when it has %s", (_, headers) => {
    expect(toFlowEvent({ ...message, headers }, 5)).toBeUndefined();
  });
});

describe("a drawing of a flow", () => {
  test("is a tree of what follows from what, in the order of the times", () => {
    const events = [
      event("released", "declined", { at: beganAt + 40, role: "compensation", topic: "inventory" }),
      event("placed", null),
      event("reserved", "placed", { at: beganAt + 12, topic: "inventory" }),
      event("noted", "placed", { at: beganAt + 50 }),
      event("declined", "reserved", { at: beganAt + 30, role: "failure", topic: "payments" }),
    ];
    expect(drawFlow(events)).toBe(
      [
        "placed.happened  orders  2026-11-27T12:00:00.000Z",
        "├─ reserved.happened  inventory  +12 ms",
        "│  └─ declined.happened  payments  +30 ms  failure",
        "│     └─ released.happened  inventory  +40 ms  compensation",
        "└─ noted.happened  orders  +50 ms",
      ].join("\n"),
    );
  });

  test("shows what has an unknown cause, or none but itself", () => {
    const events = [event("a", "unseen"), event("b", "c"), event("c", "b"), event("d", "d")];
    const lines = drawFlow(events).split("\n");
    expect(lines.map((line) => line.split(".")[0])).toEqual(["a", "b", "c", "d"]);
    expect(drawFlow([])).toBe("");
  });

  test("is the same in whatever order the events were seen, also those of one time", () => {
    const events = [event("a", null), event("b", "a"), event("c", "a"), event("d", "a")];
    expect(drawFlow(events.toReversed())).toBe(drawFlow(events));
  });
});
