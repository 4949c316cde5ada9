import type { Bench } from "./bench.ts";
import type { Capture, CapturePlace } from "./capture.ts";

/** What is done in turns. */
export interface Turns {
  readonly what: string;
  readonly rounds: number;
  readonly take: (capture: Capture, round: number) => Promise<void>;
}

/** Lets all captures do something in each round, in an order that is another one every round. */
export async function takeTurns(
  { progress }: Bench,
  { captures }: CapturePlace,
  { what, rounds, take }: Turns,
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const first = round % captures.length;
    for (const capture of [...captures.slice(first), ...captures.slice(0, first)]) {
      progress(`round ${round + 1}/${rounds}: ${what} by ${capture.name}`);
      await take(capture, round);
    }
  }
}
