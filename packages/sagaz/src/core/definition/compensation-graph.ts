import { SagaError } from "../errors.ts";
import type { SagaDefinition } from "./definition.ts";
import { lookup } from "./lookup.ts";
import { didYouMean } from "./suggest.ts";

/** A step that would be undone, and where its undo stands. */
export interface CompensationNode {
  readonly step: string;
  /** The steps whose undos must complete right before this one's starts; those before them follow from it. */
  readonly after: readonly string[];
  /** From 0: undos of one layer can run in parallel. */
  readonly layer: number;
}

/**
 * What would be undone, and in which order: the reverse of "happened before", as far as the steps were done.
 *
 * It is computed from the definition alone, so it can be shown before anything is done.
 *
 * @example
 * new CompensationGraph(definition).layers                          // if all steps were done
 * new CompensationGraph(definition, ["flight", "hotel"]).layers     // [["flight", "hotel"]]
 */
export class CompensationGraph {
  /** The steps to undo, first to last. */
  readonly nodes: readonly CompensationNode[];
  /**
   * The pivot, when it is among the steps. Then no one undoes anything any more, and the nodes show only what would have
   * to be undone by hand.
   */
  readonly passedPivot: string | undefined;

  /**
   * @param steps names of the steps that are, or may be, done; an item of a map step (`ship[3]`) stands for its step.
   * All steps if not given.
   * @throws SagaError `SAGAZ_UNKNOWN_STEP`.
   */
  constructor(definition: SagaDefinition, steps: Iterable<string> = definition.graph.byName.keys()) {
    const named = new Set([...steps].map((key) => stepOf(definition, key)));
    const { undoneBefore } = definition.graph;
    const undone = new Map<string, readonly string[]>();
    for (const [name, before] of undoneBefore) {
      if (named.has(name))
        undone.set(
          name,
          [...before].filter((other) => named.has(other)),
        );
    }
    this.nodes = toNodes(undone);
    this.passedPivot =
      definition.pivot !== undefined && named.has(definition.pivot) ? definition.pivot : undefined;
  }

  /** The undos that can run at the same time, first layer first. */
  get layers(): readonly (readonly string[])[] {
    const layers: string[][] = [];
    for (const { step, layer } of this.nodes) (layers[layer] ??= []).push(step);
    return layers;
  }

  /** Pairs of steps: the undo of `from` completes before that of `to` starts. Only direct ones. */
  get edges(): readonly { readonly from: string; readonly to: string }[] {
    return this.nodes.flatMap(({ step: to, after }) => after.map((from) => ({ from, to })));
  }
}

function stepOf({ name: saga, graph }: SagaDefinition, key: string): string {
  const step = key.replace(/\[\d+\]$/, "");
  if (graph.byName.has(step)) return step;
  throw new SagaError("SAGAZ_UNKNOWN_STEP", { saga, step, hint: didYouMean(step, graph.byName.keys()) });
}

function toNodes(before: ReadonlyMap<string, readonly string[]>): CompensationNode[] {
  const layers = new Map<string, number>();
  const layerOf = (name: string): number => {
    const known = layers.get(name);
    if (known !== undefined) return known;
    let layer = 0;
    for (const other of lookup(before, name)) layer = Math.max(layer, layerOf(other) + 1);
    layers.set(name, layer);
    return layer;
  };
  const nodes = [...before].map(([step, others]) => ({ step, others, layer: layerOf(step) }));
  nodes.sort((a, b) => a.layer - b.layer);
  return nodes.map(({ step, others, layer }) => {
    const nearestFirst = [...others].sort((a, b) => layerOf(b) - layerOf(a));
    return { step, layer, after: direct(nearestFirst, before) };
  });
}

/** Leaves out what another one waits for already. Expects those last that are undone first. */
function direct(nearestFirst: readonly string[], before: ReadonlyMap<string, readonly string[]>): string[] {
  const implied = new Set<string>();
  return nearestFirst.filter((name) => {
    if (implied.has(name)) return false;
    for (const earlier of lookup(before, name)) implied.add(earlier);
    return true;
  });
}
