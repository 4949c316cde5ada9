import { deepEqual } from "node:assert/strict";
import type { FlowEvent } from "../../../ports/flows.ts";
import { advance } from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

const DAY_MS = 86_400_000;

function seen(eventId: string, more: Partial<FlowEvent> = {}): FlowEvent {
  return {
    eventId,
    flowId: "flow",
    causationId: null,
    topic: "orders",
    key: "k",
    type: "order.placed",
    source: "/orders",
    role: null,
    sagaId: null,
    at: 1_700_000_000_000,
    ...more,
  };
}

/** Events that trackers have seen: once each, in order, by flow. */
export const flowRules: readonly StorageRule[] = [
  rule("flows: events come back as they were seen, in the order of their times, by flow", async (t) => {
    const late = seen("a", { at: 1_700_000_000_005, role: "failure", causationId: "b", sagaId: "saga" });
    const other = seen("z", { flowId: "other" });
    await t.storage.flows.record([late, seen("c"), seen("b"), other]);
    deepEqual(await t.storage.flows.list({ flowId: "flow", limit: 10 }), [seen("b"), seen("c"), late]);
    deepEqual(await t.storage.flows.list({ flowId: "flow", limit: 1 }), [seen("b")]);
    deepEqual(await t.storage.flows.list({ flowId: "unknown", limit: 10 }), []);
  }),

  rule("flows: what is seen again is known already, by whomever and at the same time", async (t) => {
    const other = await t.another();
    const nth = (n: number) => seen(`event-${String(n).padStart(2, "0")}`);
    const batch = Array.from({ length: 50 }, (_, n) => nth(n));
    const backwards = batch.map((_, n) => nth(49 - n));
    await Promise.all([
      t.storage.flows.record(batch),
      other.flows.record(backwards),
      other.flows.record(batch),
    ]);
    await t.storage.flows.record([]);
    await t.storage.flows.record([seen("event-00", { type: "changed" })]);
    deepEqual(await t.storage.flows.list({ flowId: "flow", limit: 100 }), batch);
  }),

  rule("flows: whatever a header holds can be kept", async (t) => {
    const odd = seen("nul \0", { source: "half \ud800", key: '"quoted" \\ {}', type: "" });
    await t.storage.flows.record([odd, seen("x")]);
    const found = await t.storage.flows.list({ flowId: "flow", limit: 10 });
    deepEqual(new Set(found.map(({ key }) => key)), new Set(['"quoted" \\ {}', "k"]));
  }),

  rule("flows: what was seen 35 days ago is forgotten, and nothing before that", async (t) => {
    await t.storage.flows.record(Array.from({ length: 2_500 }, (_, n) => seen(`event-${n}`)));
    advance(t, 34.9 * DAY_MS);
    await t.storage.upkeep.maintain();
    deepEqual((await t.storage.flows.list({ flowId: "flow", limit: 5_000 })).length, 2_500);
    advance(t, 0.2 * DAY_MS);
    await t.storage.flows.record([seen("late")]);
    await t.storage.upkeep.maintain();
    deepEqual(await t.storage.flows.list({ flowId: "flow", limit: 10 }), [seen("late")]);
  }),
];
