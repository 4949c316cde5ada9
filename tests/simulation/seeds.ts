import type { Breach, Sights } from "../../packages/sagaz/src/testing/simulator/history.ts";
import { addSights } from "../../packages/sagaz/src/testing/simulator/history.ts";
import { runWorlds } from "./worlds.ts";

/** A seed that broke a law. */
export interface Failure {
  readonly seed: number;
  readonly breaches: readonly Breach[];
  readonly tail: readonly string[];
}

/** What many seeds came to. */
export interface Report {
  readonly seeds: number;
  readonly sights: Sights;
  readonly failures: readonly Failure[];
}

/** How to run seeds. */
export interface SeedRange {
  readonly from: number;
  readonly to: number;
  /** Seeds between two of this range: several processes share one. */
  readonly step?: number;
  /** Stop after so many failures. */
  readonly failuresMax?: number;
}

/** Runs each seed twice and compares the histories, line by line. */
export async function runSeeds({ from, to, step = 1, failuresMax = 3 }: SeedRange): Promise<Report> {
  const sights: Sights = {};
  const failures: Failure[] = [];
  let seeds = 0;
  for (let seed = from; seed <= to && failures.length < failuresMax; seed += step) {
    const first = await runWorlds(seed);
    const second = await runWorlds(seed);
    const breaches = [...first.breaches, ...differences(first.lines, second.lines)];
    if (breaches.length > 0) failures.push({ seed, breaches, tail: first.tail });
    addSights(sights, first.sights);
    seeds++;
  }
  return { seeds, sights, failures };
}

function differences(first: readonly string[], second: readonly string[]): Breach[] {
  const place = first.findIndex((line, i) => line !== second[i]);
  if (place < 0 && first.length === second.length) return [];
  const detail = `line ${place + 1}: ${first[place] ?? "the end"} / ${second[place] ?? "the end"}`;
  return [{ law: "one seed has one history", detail }];
}

/** What a person needs to see of a failure, down to the command that repeats it. */
export function toText({ seed, breaches, tail }: Failure): string {
  return [
    ...tail.map((line) => `  ${line}`),
    ...breaches.map(({ law, detail }) => `BROKEN: ${law}\n  ${detail}`),
    `Replay: npm run simulate -- --seed ${seed}`,
  ].join("\n");
}
