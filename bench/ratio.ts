import { readable, type Row } from "./samples.ts";

/** A figure that we hold ourselves to. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** What it must reach, as a person reads it. */
  readonly floor: string;
  readonly isReached: boolean;
}

/** Finds the median of a measure; undefined when it was not taken. */
export type Pick = (measure: string, inFlight: number, system: string) => number | undefined;

type Bound = { readonly atLeast: number } | { readonly atMost: number } | { readonly below: number };

/** How a figure comes out of what was measured, and what it must reach. */
export interface Rule {
  readonly name: string;
  readonly compute: (pick: Pick) => number | undefined;
  readonly bound: Bound;
}

/** Divides what was measured; undefined when one of the two was not. */
export function divide(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}

/** The figures of a run, from its medians; a figure whose measures were not taken is left out. */
export function judge(rules: readonly Rule[], rows: readonly Row[]): Ratio[] {
  const pick: Pick = (measure, inFlight, system) =>
    rows.find((row) => row.measure === measure && row.inFlight === inFlight && row.system === system)?.median;
  return rules.flatMap(({ name, compute, bound }) => {
    const value = compute(pick);
    return value === undefined ? [] : [{ name, value: readable(value), ...hold(value, bound) }];
  });
}

function hold(value: number, bound: Bound): { floor: string; isReached: boolean } {
  if ("atLeast" in bound) return { floor: `≥ ${bound.atLeast}`, isReached: value >= bound.atLeast };
  if ("atMost" in bound) return { floor: `≤ ${bound.atMost}`, isReached: value <= bound.atMost };
  return { floor: `< ${bound.below}`, isReached: value < bound.below };
}

/** Says which figures do not reach their floor, in a sentence; nothing when all do. */
export function missedOf(ratios: readonly Ratio[]): string[] {
  const missed = ratios.filter(({ isReached }) => !isReached).map(({ name }) => name);
  return missed.length === 0 ? [] : [`Not reached: ${missed.join(", ")}.`];
}
