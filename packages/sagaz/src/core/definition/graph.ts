import type { StepDefinition, StepGraph } from "./definition.ts";
import { lookup } from "./lookup.ts";

/** A node, as far as order is concerned. */
interface Node {
  readonly name: string;
  readonly dependsOn?: readonly string[] | undefined;
}

/**
 * Orders steps so that each comes after its dependencies, and otherwise as written (depth-first, Tarjan 1976).
 * Expects a graph without cycles in which every dependency exists.
 */
export function inDependencyOrder<Step extends Node>(steps: readonly Step[]): Step[] {
  const byName = new Map(steps.map((step) => [step.name, step]));
  const ordered = new Set<Step>();
  const place = (step: Step): void => {
    if (ordered.has(step)) return;
    for (const name of step.dependsOn ?? []) {
      const dependency = byName.get(name);
      if (dependency) place(dependency);
    }
    ordered.add(step);
  };
  steps.forEach(place);
  return [...ordered];
}

/**
 * Finds nodes that wait for each other in a circle and returns the way round, first and last name equal; undefined
 * when there is none. `waitsFor` gives the direct predecessors of a node.
 */
export function findCycle(
  names: Iterable<string>,
  waitsFor: (name: string) => Iterable<string>,
): string[] | undefined {
  const finished = new Set<string>();
  const path = new Set<string>();
  const visit = (name: string): string[] | undefined => {
    if (finished.has(name)) return undefined;
    if (path.has(name)) return [...path].slice([...path].indexOf(name)).concat(name);
    path.add(name);
    for (const next of waitsFor(name)) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    path.delete(name);
    finished.add(name);
    return undefined;
  };
  for (const name of names) {
    const cycle = visit(name);
    if (cycle) return cycle;
  }
  return undefined;
}

/** All steps before each step, through any number of edges. Expects the steps in dependency order. */
export function ancestorsOf(steps: readonly Node[]): ReadonlyMap<string, ReadonlySet<string>> {
  const ancestors = new Map<string, ReadonlySet<string>>();
  for (const { name, dependsOn = [] } of steps) {
    const before = new Set<string>();
    for (const dependency of dependsOn) {
      before.add(dependency);
      for (const earlier of ancestors.get(dependency) ?? []) before.add(earlier);
    }
    ancestors.set(name, before);
  }
  return ancestors;
}

/** Computes what follows from the dependencies once and for all. Expects the steps in dependency order. */
export function buildGraph(steps: readonly StepDefinition[]): StepGraph {
  const ancestors = ancestorsOf(steps);
  return {
    byName: new Map(steps.map((step) => [step.name, step])),
    commands: steps.filter((step) => step.kind === "command"),
    dependents: dependentsOf(steps),
    ancestors,
    undoneBefore: undoOrder(steps, ancestors),
  };
}

function dependentsOf(steps: readonly StepDefinition[]): ReadonlyMap<string, readonly string[]> {
  const dependents = new Map<string, string[]>(steps.map((step) => [step.name, []]));
  for (const step of steps) {
    for (const dependency of step.dependsOn) dependents.get(dependency)?.push(step.name);
  }
  return dependents;
}

/**
 * The reverse of "happened before": whoever could see a step's result is undone before that step, and so through steps
 * that have no undo. Then the edges that the author added.
 */
export function undoOrder(
  steps: readonly Pick<StepDefinition, "name" | "role" | "undoAfter">[],
  ancestors: ReadonlyMap<string, ReadonlySet<string>>,
): ReadonlyMap<string, ReadonlySet<string>> {
  const undoable = steps.filter((step) => step.role === "compensatable");
  const order = new Map(undoable.map((step) => [step.name, new Set(step.undoAfter)]));
  for (const later of undoable) {
    for (const earlier of lookup(ancestors, later.name)) order.get(earlier)?.add(later.name);
  }
  return order;
}
