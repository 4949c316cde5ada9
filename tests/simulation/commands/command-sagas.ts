import { fail } from "../../../packages/sagaz/src/core/decide/outcome.ts";
import type {
  StepContext,
  VerifyContext,
  Verdict,
} from "../../../packages/sagaz/src/core/definition/context.ts";
import { define } from "../../../packages/sagaz/src/core/definition/define.ts";
import type { SagaDefinition } from "../../../packages/sagaz/src/core/definition/definition.ts";
import { isCompensatable, isPivot } from "../../../packages/sagaz/src/core/definition/draft.ts";
import type {
  SagaOptions,
  StepDraft,
  StepOptions,
  StepWork,
  UndoDraft,
} from "../../../packages/sagaz/src/core/definition/draft.ts";
import type { SeededChance } from "../../../packages/sagaz/src/testing/seeded-chance.ts";

/** Where the participant gets its commands from. */
export const commandTopic = "work";
/** What a participant of these worlds can be asked for. */
export const commandName = "act";

/** What doing and undoing one step is like, where it is done: shares of the times. */
export interface CommandManner {
  /** The business says no, for a while. */
  readonly declines: number;
  readonly undoDeclines: number;
  /** The handler throws: it fails, or always fails. */
  readonly throws: number;
}

/** What is sent along: enough for the handler to know its manner. */
export interface CommandPayload {
  readonly manner: CommandManner;
}

type Verify = (ctx: VerifyContext) => Verdict;

const stepsMax = 5;
/** How often the business says no to one thing at most: people ask again until it is done. */
export const declinesMax = 2;

/** Draws sagas whose steps are mostly commands: before, as and after a pivot, in every shape of graph. */
export function drawCommandSagas(chance: SeededChance, verify: Verify): readonly SagaDefinition[] {
  return Array.from({ length: 1 + chance.below(2) }, (_, n) => draw(`saga-${n}`, { chance, verify }));
}

interface Maker {
  readonly chance: SeededChance;
  readonly verify: Verify;
}

function draw(name: string, { chance, verify }: Maker): SagaDefinition {
  const count = 1 + chance.below(stepsMax);
  const pivotAt = chance.happens(0.4) ? chance.below(count) : undefined;
  const steps: StepDraft[] = [];
  for (let i = 0; i < count; i++)
    steps.push(drawStep(`s${i}`, { chance, verify, steps, isPivot: i === pivotAt }));
  return define({ name, options: drawOptions(chance), steps });
}

function drawOptions(chance: SeededChance): SagaOptions {
  return {
    strategy: chance.pick(["FAIL_FAST", "WAIT_ALL", "FAIL_FAST_WITH_GRACE"] as const),
    graceMs: chance.pick([0, 100, 2_000] as const),
    settleMs: 50,
    ...(chance.happens(0.2) ? { timeoutMs: 500 + chance.below(20_000) } : {}),
  };
}

interface Place extends Maker {
  readonly steps: readonly StepDraft[];
  readonly isPivot: boolean;
}

function drawStep(name: string, place: Place): StepDraft {
  const { chance, steps } = place;
  const pivotBefore = steps.find(isPivot);
  const share = chance.pick([0, 0.4, 1] as const);
  const names = steps.filter((step) => chance.happens(share) || (place.isPivot && isCompensatable(step)));
  // What follows the pivot in the list follows it in time too, so that it only goes forward.
  const dependsOn = [...new Set([...names, ...(pivotBefore ? [pivotBefore] : [])].map((step) => step.name))];
  const isAction = !place.isPivot && chance.happens(0.2);
  if (isAction) return drawAction(name, { chance, dependsOn, afterPivot: pivotBefore !== undefined });
  const isUndoable = !place.isPivot && !pivotBefore && chance.happens(0.85);
  const manner = drawManner(chance, { isUndoable });
  const undo: UndoDraft | undefined = isUndoable
    ? { run: (): CommandPayload => ({ manner }), options: drawUndoOptions(chance) }
    : undefined;
  const { options, work } = drawCommand(place, { manner, isUndoable, afterPivot: pivotBefore !== undefined });
  return { name, dependsOn, pivot: place.isPivot, options, work, undo };
}

/** A step of the saga's own process, that may fail after commands have been done. */
function drawAction(
  name: string,
  around: { readonly chance: SeededChance; readonly dependsOn: string[]; readonly afterPivot: boolean },
): StepDraft {
  const { dependsOn, afterPivot } = around;
  const chance = around.chance.fork();
  const fails = afterPivot ? 0 : chance.pick([0, 0.5, 1] as const);
  const declined = new Map<string, number>();
  const run = ({ sagaId }: StepContext) => {
    const times = declined.get(sagaId) ?? 0;
    if (times >= declinesMax || !chance.happens(fails)) return null;
    declined.set(sagaId, times + 1);
    throw fail("no");
  };
  return {
    name,
    dependsOn,
    pivot: false,
    options: {},
    work: { kind: "action", transactional: false, do: run },
  };
}

function drawManner(chance: SeededChance, { isUndoable }: { isUndoable: boolean }): CommandManner {
  return {
    declines: chance.pick([0, 0, 0.1, 0.4] as const),
    undoDeclines: chance.pick([0, 0, 0.3] as const),
    // One that nobody can ever answer for can be undone; else nobody could end its saga.
    throws: isUndoable && chance.happens(0.1) ? 1 : chance.pick([0, 0, 0.2, 0.5] as const),
  };
}

function drawCommand(
  { chance, verify }: Place,
  step: { readonly manner: CommandManner; readonly isUndoable: boolean; readonly afterPivot: boolean },
): { readonly options: StepOptions; readonly work: StepWork } {
  const { manner, isUndoable, afterPivot } = step;
  const replyTimeoutMs = chance.pick([undefined, 300, 2_000, 10_000] as const);
  const retry = { maxAttempts: 1 + chance.below(3), initialMs: chance.pick([1, 300] as const), maxMs: 2_000 };
  const isHopeless = manner.throws === 1;
  const onUnknown = chance.pick(
    isUndoable ? (["rerun", "undo", isHopeless ? "undo" : "park"] as const) : (["rerun", "park"] as const),
  );
  return {
    options: { onUnknown, retry: afterPivot ? { initialMs: 50, maxMs: 2_000, forMs: 60_000 } : retry },
    work: {
      kind: "command",
      command: commandName,
      topic: commandTopic,
      payload: (): CommandPayload => ({ manner }),
      replyTimeoutMs,
      waitMs: 15_000,
      verify: !afterPivot && chance.happens(0.4) ? verify : undefined,
    },
  };
}

function drawUndoOptions(chance: SeededChance) {
  const retry = { maxAttempts: 1 + chance.below(4), initialMs: chance.pick([1, 300] as const), maxMs: 2_000 };
  return { retry, onExhausted: chance.pick(["park", "park", "park", "continue"] as const) };
}
