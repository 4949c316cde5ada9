import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CompensationGraph } from "./compensation-graph.ts";
import type { SagaDefinition } from "./definition.ts";
import { DraftBuilder } from "./draft-builder.ts";
import { ancestorsOf, findCycle, inDependencyOrder } from "./graph.ts";

const nothing = () => undefined;

interface Drawn {
  readonly name: string;
  readonly after: readonly string[];
  readonly undo: boolean;
}

/** Random graphs without cycles, written in random order. */
const graphs: fc.Arbitrary<Drawn[]> = fc
  .integer({ min: 1, max: 12 })
  .chain((size) =>
    fc.tuple(
      fc.array(fc.array(fc.nat(size - 1), { maxLength: 3 }), { minLength: size, maxLength: size }),
      fc.array(fc.boolean(), { minLength: size, maxLength: size }),
      fc.shuffledSubarray([...Array(size).keys()], { minLength: size }),
    ),
  )
  .map(([edges, undos, order]) => {
    const steps = edges.map((targets, i): Drawn => {
      const after = [...new Set(targets.filter((target) => target < i))].map((target) => `s${target}`);
      return { name: `s${i}`, after, undo: undos[i] ?? false };
    });
    return order.map((i) => steps[i]!);
  });

function build(steps: readonly Drawn[]): SagaDefinition {
  let builder = DraftBuilder.start("random", {});
  for (const { name, after, undo } of steps) {
    builder = builder.step(name, { do: nothing, after, ...(undo ? { undo: nothing } : {}) });
  }
  return builder.build();
}

/** Reachability the slow way: by following every edge. */
function reaches(steps: readonly Drawn[], from: string, to: string): boolean {
  const step = steps.find(({ name }) => name === from);
  return (step?.after ?? []).some((before) => before === to || reaches(steps, before, to));
}

describe("inDependencyOrder", () => {
  test("puts every step after its dependencies, and loses none", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        const names = build(steps).steps.map(({ name }) => name);
        expect(names.toSorted()).toEqual(steps.map(({ name }) => name).toSorted());
        for (const { name, after } of steps) {
          for (const before of after) expect(names.indexOf(before)).toBeLessThan(names.indexOf(name));
        }
      }),
    );
  });

  test("keeps an order that is right already", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        const once = inDependencyOrder(steps.map(({ name, after }) => ({ name, dependsOn: after })));
        expect(inDependencyOrder(once)).toEqual(once);
      }),
    );
  });

  test("overlooks what does not exist: that is for the checks", () => {
    expect(
      inDependencyOrder([{ name: "a", dependsOn: ["ghost"] }, { name: "b" }]).map(({ name }) => name),
    ).toEqual(["a", "b"]);
    expect(ancestorsOf([{ name: "a", dependsOn: ["ghost"] }, { name: "b" }]).get("a")).toEqual(
      new Set(["ghost"]),
    );
  });
});

describe("ancestors", () => {
  test("are what can be reached", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        const { graph } = build(steps);
        for (const { name } of steps) {
          const reached = steps
            .filter((other) => reaches(steps, name, other.name))
            .map((other) => other.name);
          expect([...(graph.ancestors.get(name) ?? [])].toSorted()).toEqual(reached.toSorted());
          const dependents = steps.filter(({ after }) => after.includes(name)).map((other) => other.name);
          expect(graph.dependents.get(name)?.toSorted()).toEqual(dependents.toSorted());
        }
      }),
    );
  });
});

describe("the order of undoing", () => {
  test("is the reverse of the order of doing, among steps that can be undone", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        const { undoneBefore } = build(steps).graph;
        const undoable = steps.filter(({ undo }) => undo).map(({ name }) => name);
        expect([...undoneBefore.keys()].toSorted()).toEqual(undoable.toSorted());
        for (const a of undoable) {
          for (const b of undoable) expect(undoneBefore.get(a)?.has(b)).toBe(reaches(steps, b, a));
        }
      }),
    );
  });

  test("is kept by the layers and edges of any set of done steps, and nothing is left out", () => {
    fc.assert(
      fc.property(graphs, fc.infiniteStream(fc.boolean()), (steps, coin) => {
        const done = steps.filter(() => coin.next().value).map(({ name }) => name);
        const definition = build(steps);
        const graph = new CompensationGraph(definition, done);
        const layerOf = new Map(graph.layers.flatMap((names, i) => names.map((name) => [name, i] as const)));
        const expected = steps
          .filter(({ name, undo }) => undo && done.includes(name))
          .map(({ name }) => name);
        expect([...layerOf.keys()].toSorted()).toEqual(expected.toSorted());
        // What the edges say, followed through, is the whole order and nothing more.
        const edges = new Map(graph.nodes.map(({ step, after }) => [step, after]));
        const waits = (a: string, b: string): boolean =>
          (edges.get(a) ?? []).some((next) => next === b || waits(next, b));
        for (const a of expected) {
          for (const b of expected) {
            const before = definition.graph.undoneBefore.get(a)?.has(b) ?? false;
            expect(waits(a, b)).toBe(before);
            if (before) expect(layerOf.get(b)).toBeLessThan(layerOf.get(a)!);
          }
        }
      }),
    );
  });
});

describe("the fingerprint", () => {
  test("does not depend on the order of writing", () => {
    fc.assert(
      fc.property(graphs, fc.infiniteStream(fc.integer()), (steps, keys) => {
        const shuffled = steps
          .map((step) => ({ step: { ...step, after: step.after.toReversed() }, key: keys.next().value }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ step }) => step);
        expect(build(shuffled).graphHash).toBe(build(steps).graphHash);
      }),
    );
  });

  test("changes with any edge or undo", () => {
    fc.assert(
      fc.property(graphs, fc.nat(), (steps, pick) => {
        const i = pick % steps.length;
        const changed = steps.map((step, j) => (i === j ? { ...step, undo: !step.undo } : step));
        expect(build(changed).graphHash).not.toBe(build(steps).graphHash);
        if (!steps[i]!.after.length) return;
        const cut = steps.map((step, j) => (i === j ? { ...step, after: step.after.slice(1) } : step));
        expect(build(cut).graphHash).not.toBe(build(steps).graphHash);
      }),
    );
  });
});

describe("findCycle", () => {
  test("finds none in a graph without, and one that is real in a graph with", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        const edges = new Map(steps.map(({ name, after }) => [name, [...after]]));
        const waitsFor = (name: string) => edges.get(name) ?? [];
        expect(findCycle(edges.keys(), waitsFor)).toBeUndefined();
        const [first, last] = [
          steps.find(({ after }) => after.length > 0)?.after[0],
          steps.find(({ after }) => after.length > 0)?.name,
        ];
        if (first === undefined || last === undefined) return;
        edges.get(first)?.push(last);
        const cycle = findCycle(edges.keys(), waitsFor) ?? [];
        expect(cycle.length).toBeGreaterThan(1);
        expect(cycle.at(0)).toBe(cycle.at(-1));
        for (const [i, name] of cycle.slice(1).entries()) expect(waitsFor(cycle[i]!)).toContain(name);
      }),
    );
  });
});
