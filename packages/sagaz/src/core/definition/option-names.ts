/** The options that every style of writing knows; each adds its own. Anything else is refused with a suggestion. */
const STEP = ["retry", "timeoutMs", "stepTimeoutMs", "result"];
const EFFECT = [...STEP, "onUnknown", "verify"];

/** What a step of each kind may set, apart from its edges and functions. */
export const STEP_OPTIONS = {
  action: [...EFFECT, "transactional"],
  map: [...EFFECT, "over", "concurrency"],
  command: [...EFFECT, "topic", "command", "payload", "replyTimeoutMs", "waitMs"],
  signal: ["signal", "waitMs", "payload"],
  sleep: ["forMs", "retry", "timeoutMs"],
  child: ["saga", "input", "retry", "timeoutMs"],
} as const;

/** What a saga as a whole may set. */
export const SAGA_OPTIONS = [
  "version",
  "strategy",
  "graceMs",
  "settleMs",
  "timeoutMs",
  "retry",
  "sequential",
  "inFlightMax",
] as const;

/** What a compensation may set, where it is written with the action. */
export const UNDO_OPTIONS = ["undoAfter", "undoRetry", "onExhausted"] as const;
