import type { Direction } from "../saga/events.ts";
import type { ReplyError } from "./messages.ts";

/** What a participant has answered for good: `failed` is the business's no. */
export interface Answer {
  readonly outcome: "done" | "failed";
  readonly result?: unknown;
  readonly error?: ReplyError;
}

/** An answer, and the round that it was given in. */
interface Answered extends Answer {
  readonly round: number;
}

/**
 * What a participant remembers of one effect: the last answer in each direction. An undo that was asked for something
 * that was never done is remembered too: as a tombstone, which keeps it from being done later.
 */
export type Standing = { readonly [direction in Direction]?: Answered };

/** What is to be done about a command, by what is remembered. */
export type Judgement =
  | { readonly type: "run"; readonly result: unknown }
  | { readonly type: "answer"; readonly answer: Answer; readonly isNew: boolean }
  | { readonly type: "refuse"; readonly code: "SAGAZ_UNDONE_BEFORE" }
  | { readonly type: "refuse"; readonly code: "SAGAZ_STALE_ROUND"; readonly latest: number };

const DONE: Answer = { outcome: "done" };

/** Decides about a command. What was done is never done again, and what is undone is not done any more. */
export function judge(
  standing: Standing,
  { direction, round }: { readonly direction: Direction; readonly round: number },
): Judgement {
  if (direction === "do" && standing.undo) return { type: "refuse", code: "SAGAZ_UNDONE_BEFORE" };
  const before = standing[direction];
  const known = before && judgeAgain(before, round);
  if (known) return known;
  if (direction === "undo" && standing.do?.outcome !== "done")
    return { type: "answer", answer: DONE, isNew: true };
  return { type: "run", result: standing.do?.result };
}

/** Only what failed is tried again in a new round. */
function judgeAgain(before: Answered, round: number): Judgement | undefined {
  if (round < before.round) return { type: "refuse", code: "SAGAZ_STALE_ROUND", latest: before.round };
  if (round > before.round && before.outcome === "failed") return undefined;
  return { type: "answer", answer: toAnswer(before), isNew: round !== before.round };
}

function toAnswer({ outcome, result, error }: Answered): Answer {
  return { outcome, ...(result === undefined ? {} : { result }), ...(error ? { error } : {}) };
}

/** What is remembered from now on. */
export function remember(
  standing: Standing,
  { direction, round }: { readonly direction: Direction; readonly round: number },
  answer: Answer,
): Standing {
  return { ...standing, [direction]: { ...answer, round } };
}
