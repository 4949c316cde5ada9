import { ok } from "node:assert/strict";

/** What a rule's needs promise to be there. */
export function given<Part>(part: Part | undefined): Part {
  ok(part !== undefined, "the handle lacks what the rule needs; declare it by `provided`");
  return part;
}
