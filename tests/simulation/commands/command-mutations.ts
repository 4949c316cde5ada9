import type { Mutation } from "../mutation.ts";

/** Mistakes about commands, on either side, that the simulation must notice. */
export const commandMutations: readonly Mutation[] = [
  {
    name: "what was undone is done after all",
    file: "core/participant/standing.ts",
    text: 'if (direction === "do" && standing.undo) return { type: "refuse", code: "SAGAZ_UNDONE_BEFORE" };',
    replacement: "",
  },
  {
    name: "an undo of what was never done leaves no tombstone",
    file: "runtime/participant/participant.ts",
    text: 'if (judgement.type === "run" || judgement.isNew) {',
    replacement: 'if (judgement.type === "run") {',
  },
  {
    name: "a participant does again what it is asked for again",
    file: "core/participant/standing.ts",
    text: "const known = before && judgeAgain(before, round);",
    replacement: "const known = undefined;",
  },
  {
    name: "a participant forgets what it has done",
    file: "core/participant/standing.ts",
    text: "return { ...standing, [direction]: { ...answer, round } };",
    replacement: "return { [direction]: { ...answer, round } };",
  },
  {
    name: "a participant takes a command of an older round",
    file: "core/participant/standing.ts",
    text: 'if (round < before.round) return { type: "refuse", code: "SAGAZ_STALE_ROUND", latest: before.round };',
    replacement: "",
  },
  {
    name: "what failed for good is tried again in the same round",
    file: "core/participant/standing.ts",
    text: 'round > before.round && before.outcome === "failed"',
    replacement: 'before.outcome === "failed"',
  },
  {
    name: "what failed for good is not tried again in a new round",
    file: "core/participant/standing.ts",
    text: 'if (round > before.round && before.outcome === "failed") return undefined;',
    replacement: "",
  },
  {
    name: "a participant says no when it does not know",
    file: "runtime/participant/participant.ts",
    text: '"refused" : "unknown"',
    replacement: '"refused" : "failed"',
  },
  {
    name: "a reply to an older round counts",
    file: "core/decide/reply.ts",
    text: "if (reply.round < roundOf(state, reply.direction)) return [];",
    replacement: "",
  },
  {
    name: "a reply that says that nobody knows is taken for a no",
    file: "core/decide/reply.ts",
    text: 'return replyDue(view, step, "do") === undefined ? [] : endAsking(view, task, error);',
    replacement: "return isOpen(view, task.key) ? failForGood(view, task, error) : [];",
  },
  {
    name: "a saga is not told that its command was given up",
    file: "runtime/delivery/verdict.ts",
    text: "mail: toNotice(event, why)",
    replacement: "mail: undefined",
  },
  {
    name: "a command that was given up counts as not done",
    file: "core/decide/reply.ts",
    text: 'return endAsking(view, task, { name: "Undelivered", kind: "ambiguous", ...error });',
    replacement:
      'const why = { name: "Undelivered", kind: "error", ...error } as const;\n' +
      '  return direction === "do" && isOpen(view, task.key) ? failForGood(view, task, why) : [];',
  },
  {
    name: "an undo that was declined counts as done",
    file: "core/decide/reply.ts",
    text: 'return isAwaited ? settle(view, task, { type: "failed", error, final: true }) : [];',
    replacement: "return undone(state, reply);",
  },
  {
    name: "a command that nobody answered counts as failed",
    file: "core/decide/unsettled.ts",
    text: 'case "undo":\n      return [maybeDone(key, error)];',
    replacement:
      'case "undo":\n' +
      '      return [{ type: step.kind === "command" ? "step_failed" : "step_maybe_done", step: key, data: { error } }];',
  },
  {
    name: "a command that was not done yet counts as failed",
    file: "core/decide/settle.ts",
    text: 'if (step.kind === "command") return mayBeUnderway(view, task, unsettled.error);',
    replacement: "",
  },
  {
    name: "a saga that goes back is parked for its command each time that somebody says to go on",
    file: "core/decide/unsettled.ts",
    text: 'if (again && step.kind === "command") return [maybeDone(key, error)];',
    replacement: "",
  },
  {
    name: "a saga goes back while a command is on its way",
    file: "core/decide/unwind.ts",
    text: "if (view.definition.graph.commands.some(({ name }) => isAsked(view, name))) return false;",
    replacement: "",
  },
  {
    name: "a saga that goes back waits for its replies for ever",
    file: "core/decide/unwind.ts",
    text: "  giveUpAsking(view, move);\n",
    replacement: "",
  },
  {
    name: "an undo that is asked for counts as done",
    file: "core/decide/settle.ts",
    text: 'if (task.step.kind === "command")\n    return',
    replacement: "if (false)\n    return",
  },
];
