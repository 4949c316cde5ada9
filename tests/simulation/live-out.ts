import type { Breach, History, Sights } from "../../packages/sagaz/src/testing/simulator/history.ts";

/** What one seed came to. */
export interface Outcome {
  readonly seed: number;
  readonly lines: readonly string[];
  readonly tail: readonly string[];
  readonly breaches: readonly Breach[];
  readonly sights: Sights;
}

/** Lets a world live to its end, and tells what it came to: what the engine throws at nobody breaks a law. */
export async function liveOut(
  { seed, history }: { readonly seed: number; readonly history: History },
  live: () => Promise<void>,
): Promise<Outcome> {
  try {
    await live();
  } catch (error) {
    const thrown = error instanceof Error ? (error.stack ?? "") : String(error);
    history.breach("the engine throws at nobody", thrown);
  }
  const { lines, breaches, sights } = history;
  return { seed, lines, tail: history.tail(), breaches, sights };
}
