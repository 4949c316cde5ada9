import { CompensationGraph } from "./compensation-graph.ts";
import type { SagaDefinition, StepDefinition } from "./definition.ts";
import { lookup } from "./lookup.ts";
import { longestPath } from "./longest-path.ts";
import { warningsOf } from "./plan-warnings.ts";
import type { PlanWarning } from "./plan-warnings.ts";
import { worstCaseOf } from "./worst-case.ts";
import type { WorstCase } from "./worst-case.ts";

/** What a saga would do, without running anything. */
export interface SagaPlan {
  readonly saga: string;
  readonly version: number;
  readonly graphHash: string;
  /** Steps that could start together if all took equally long. The engine itself has no such barriers. */
  readonly layers: readonly (readonly string[])[];
  /** The longest chain of steps that wait for each other. */
  readonly criticalPath: readonly string[];
  readonly pivot: string | undefined;
  /** The steps that start only once the pivot is done: forward only. */
  readonly afterPivot: readonly string[];
  /** The order of undoing if everything that can be undone were done: undos of one layer can run in parallel. */
  readonly undoLayers: readonly (readonly string[])[];
  /** The longest that going forward can take: see {@link WorstCase}. */
  readonly worstCase: WorstCase;
  readonly warnings: readonly PlanWarning[];
}

/**
 * Rehearses a definition: what runs side by side, what takes longest, what would be undone in which order. A definition
 * has passed all checks already; this shows what they let through.
 */
export function validate(definition: SagaDefinition): SagaPlan {
  const { steps, name, version, graphHash, pivot } = definition;
  return {
    saga: name,
    version,
    graphHash,
    layers: layersOf(steps),
    criticalPath: longestPath(steps, () => 1).path,
    pivot,
    afterPivot: steps.filter(({ role }) => role === "retriable").map((step) => step.name),
    undoLayers: new CompensationGraph(definition).layers,
    worstCase: worstCaseOf(definition),
    warnings: warningsOf(definition),
  };
}

function layersOf(steps: readonly StepDefinition[]): string[][] {
  const layerOf = new Map<string, number>();
  const layers: string[][] = [];
  for (const { name, dependsOn } of steps) {
    const layer = Math.max(-1, ...dependsOn.map((before) => lookup(layerOf, before))) + 1;
    layerOf.set(name, layer);
    (layers[layer] ??= []).push(name);
  }
  return layers;
}
