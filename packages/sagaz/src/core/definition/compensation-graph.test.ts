import { describe, expect, test } from "vitest";
import { CompensationGraph } from "./compensation-graph.ts";
import { saga } from "./builder.ts";

const nothing = () => undefined;
const undoable = { do: nothing, undo: nothing };

const trip = saga("trip")
  .step("flight", undoable)
  .step("hotel", undoable)
  .step("check", { after: ["flight"], do: nothing })
  .map("seats", { after: ["check"], over: () => [], ...undoable })
  .step("insurance", { ...undoable, after: ["seats", "hotel"], undoAfter: [] })
  .pivot("pay", { after: ["insurance"], do: nothing })
  .step("tickets", { after: ["pay"], do: nothing })
  .build();

describe("CompensationGraph", () => {
  test("shows what would be undone if everything were done, later first, through steps that have no undo", () => {
    const graph = new CompensationGraph(trip);
    expect(graph.layers).toEqual([["insurance"], ["hotel", "seats"], ["flight"]]);
    expect(graph.nodes).toEqual([
      { step: "insurance", layer: 0, after: [] },
      { step: "hotel", layer: 1, after: ["insurance"] },
      { step: "seats", layer: 1, after: ["insurance"] },
      { step: "flight", layer: 2, after: ["seats"] }, // not of insurance: that follows
    ]);
    expect(graph.edges).toEqual([
      { from: "insurance", to: "hotel" },
      { from: "insurance", to: "seats" },
      { from: "seats", to: "flight" },
    ]);
  });

  test("shows only what is done, and takes items of a map for their step", () => {
    expect(new CompensationGraph(trip, ["flight", "hotel"]).layers).toEqual([["flight", "hotel"]]);
    expect(new CompensationGraph(trip, ["flight", "check", "seats[0]", "seats[12]"]).layers).toEqual([
      ["seats"],
      ["flight"],
    ]);
    expect(new CompensationGraph(trip, []).nodes).toEqual([]);
  });

  test("keeps the order of two steps when what lay between them was not done", () => {
    const graph = new CompensationGraph(trip, ["flight", "insurance"]);
    expect(graph.nodes).toEqual([
      { step: "insurance", layer: 0, after: [] },
      { step: "flight", layer: 1, after: ["insurance"] },
    ]);
  });

  test("says when the pivot is among the steps", () => {
    expect(new CompensationGraph(trip).passedPivot).toBe("pay");
    expect(new CompensationGraph(trip, ["flight"]).passedPivot).toBeUndefined();
    expect(new CompensationGraph(saga("s").step("a", undoable).build()).passedPivot).toBeUndefined();
  });

  test("follows the author's own edges", () => {
    const definition = saga("s")
      .step("a", { ...undoable, undoAfter: ["b"] })
      .step("b", { ...undoable, undoAfter: ["c"] })
      .step("c", undoable)
      .build();
    expect(new CompensationGraph(definition).layers).toEqual([["c"], ["b"], ["a"]]);
  });

  test("refuses steps that do not exist", () => {
    expect(() => new CompensationGraph(trip, ["fligt"])).toThrow('no step "fligt". Did you mean "flight"?');
  });
});
