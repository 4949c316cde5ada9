import { deepEqual, equal } from "node:assert/strict";
import { Asker } from "./asker.ts";
import { rule } from "./participant-rule.ts";
import type { ParticipantNeed, ParticipantRule, ParticipantUnderTest } from "./participant-rule.ts";

type Body = (asker: Asker, t: ParticipantUnderTest) => Promise<void>;

function asking(name: string, body: Body, needs: readonly ParticipantNeed[] = []): ParticipantRule {
  const check = async (t: ParticipantUnderTest) => {
    const asker = await Asker.open(t);
    try {
      await body(asker, t);
    } finally {
      await asker.close();
    }
  };
  return rule(name, check, needs);
}

const undo = { direction: "undo" } as const;

/**
 * The contract of participants as rules, for one in any language behind any broker: `docs/how-to/write-a-participant.md`.
 *
 * @example
 * for (const rule of participantRules) {
 *   const unmet = unmetNeeds(rule, ["effects"]);
 *   test.skipIf(unmet.length > 0)(toTitle(rule, unmet), () => rule.check(open));
 * }
 */
export const participantRules: readonly ParticipantRule[] = [
  asking("a command is done, and the reply says what it answers", async (asker, { succeeds }) => {
    await asker.ask(succeeds, "done");
    await asker.took(1, 0);
  }),

  asking("a repeated command gets the same answer, and takes effect once", async (asker, { succeeds }) => {
    const first = await asker.ask(succeeds, "done");
    deepEqual(await asker.ask({ ...succeeds, attempt: 2 }, "done"), first);
    await asker.took(1, 0);
  }),

  asking("what was done is undone, and once only", async (asker, { succeeds }) => {
    await asker.ask(succeeds, "done");
    const first = await asker.ask({ ...succeeds, ...undo }, "done");
    deepEqual(await asker.ask({ ...succeeds, ...undo, attempt: 2 }, "done"), first);
    await asker.took(1, 1);
  }),

  asking(
    "an undo of what was never done succeeds, and keeps it from being done",
    async (asker, { succeeds }) => {
      await asker.ask({ ...succeeds, ...undo }, "done");
      await asker.ask(succeeds, "refused");
      await asker.ask({ ...succeeds, ...undo }, "done");
      await asker.took(0, 0);
    },
  ),

  asking("what was undone is not done again", async (asker, { succeeds }) => {
    await asker.ask(succeeds, "done");
    await asker.ask({ ...succeeds, ...undo }, "done");
    await asker.ask(succeeds, "refused");
    await asker.ask({ ...succeeds, round: 1 }, "refused");
    await asker.took(1, 1);
  }),

  asking("an undo in a new round does not undo twice", async (asker, { succeeds }) => {
    await asker.ask(succeeds, "done");
    await asker.ask({ ...succeeds, ...undo }, "done");
    await asker.ask({ ...succeeds, ...undo, round: 1 }, "done");
    await asker.took(1, 1);
  }),

  asking("the business says no, and says so again when it is asked again", async (asker, { fails }) => {
    const first = await asker.ask(fails, "failed");
    deepEqual(await asker.ask({ ...fails, attempt: 2 }, "failed"), first);
    await asker.ask({ ...fails, round: 1 }, "failed");
    await asker.took(0, 0);
  }),

  asking("an undo of what failed succeeds, and has nothing to do", async (asker, { fails }) => {
    await asker.ask(fails, "failed");
    await asker.ask({ ...fails, ...undo }, "done");
    await asker.took(0, 0);
  }),

  asking("what is asked in an older round is refused", async (asker, { succeeds }) => {
    await asker.ask({ ...succeeds, round: 1 }, "done");
    await asker.ask(succeeds, "refused");
    await asker.ask({ ...succeeds, ...undo, round: 1 }, "done");
    await asker.ask({ ...succeeds, ...undo }, "refused");
    await asker.took(1, 1);
  }),

  asking("another saga may undo an effect that it has taken over", async (asker, { succeeds }) => {
    await asker.ask(succeeds, "done");
    const sagaId = crypto.randomUUID();
    await asker.ask({ ...succeeds, ...undo, sagaId, effect: asker.effect }, "done");
    await asker.took(1, 1);
  }),

  asking("a command that it does not know is refused", async (asker, { succeeds }) => {
    await asker.ask({ ...succeeds, command: "no_such_command" }, "refused");
    await asker.ask({ ...succeeds, ...undo, command: "no_such_command" }, "refused");
  }),

  asking("a command that lacks something is refused, if it says to whom", async (asker, { succeeds }) => {
    const { effect: _, ...incomplete } = asker.toCommand(succeeds);
    await asker.send(JSON.stringify(incomplete));
    const { outcome, sagaId, step } = await asker.next();
    deepEqual({ outcome, sagaId, step }, { outcome: "refused", sagaId: asker.sagaId, step: "step" });
  }),

  asking(
    "what is no command at all is passed over, and what follows is done",
    async (asker, { succeeds }) => {
      await asker.send("this is no JSON");
      await asker.send('"nor is this an object"');
      await asker.ask(succeeds, "done");
    },
  ),

  asking("replies to one saga come in the order of its commands", async (asker, { succeeds }) => {
    const steps = Array.from({ length: 20 }, (_, n) => `step[${n}]`);
    for (const step of steps) {
      const effect = `${asker.sagaId}/${step}`;
      await asker.send(JSON.stringify(asker.toCommand({ ...succeeds, step, effect })));
    }
    for (const step of steps) equal((await asker.next()).step, step);
  }),

  asking(
    "what it remembers outlives its process",
    async (asker, { succeeds, fails, crash }) => {
      const first = await asker.ask(succeeds, "done");
      await crash?.();
      deepEqual(await asker.ask({ ...succeeds, attempt: 2 }, "done"), first);
      const no = { ...fails, step: "other", effect: `${asker.sagaId}/other` };
      await asker.ask({ ...no, ...undo }, "done");
      await crash?.();
      await asker.ask(no, "refused");
      await asker.took(1, 0);
    },
    ["crash"],
  ),
];
