import { quantile } from "./quantile.ts";

/** What a number is about. */
export interface Subject {
  readonly measure: string;
  /** How much was under way at a time; each benchmark says of what. */
  readonly inFlight: number;
  readonly system: string;
  readonly unit: string;
}

/** One line of the report: what came of a subject's rounds. */
export interface Row extends Subject {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** How many rounds it is the median of. */
  readonly rounds: number;
}

/** Collects what the rounds measure. */
export class Samples {
  readonly #values = new Map<string, { readonly subject: Subject; readonly values: number[] }>();

  /** Takes a value; undefined (this machine cannot tell) leaves no row. */
  add(subject: Subject, value: number | undefined): void {
    if (value === undefined) return;
    const key = `${subject.measure}\n${subject.inFlight}\n${subject.system}`;
    const known = this.#values.get(key);
    if (known === undefined) this.#values.set(key, { subject, values: [value] });
    else known.values.push(value);
  }

  /** The medians, in the order in which subjects first came. */
  rows(): Row[] {
    return [...this.#values.values()].map(({ subject, values }) => {
      const sorted = [...values].sort((a, b) => a - b);
      return {
        ...subject,
        median: readable(medianOf(sorted)),
        min: readable(sorted[0] ?? Number.NaN),
        max: readable(sorted.at(-1) ?? Number.NaN),
        rounds: sorted.length,
      };
    });
  }
}

function medianOf(sorted: readonly number[]): number {
  const lower = quantile(sorted, 0.5);
  return sorted.length % 2 === 1 ? lower : (lower + (sorted[sorted.length / 2] ?? lower)) / 2;
}

/** Four significant digits, and whole numbers above a thousand: more would pretend. */
export function readable(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4));
}
