import { define } from "../../packages/sagaz/src/core/definition/define.ts";
import type { SagaDefinition } from "../../packages/sagaz/src/core/definition/definition.ts";
import type {
  StepContext,
  UndoContext,
  VerifyContext,
} from "../../packages/sagaz/src/core/definition/context.ts";
import type { SagaOptions, StepDraft, StepOptions } from "../../packages/sagaz/src/core/definition/draft.ts";
import { isCompensatable, isPivot } from "../../packages/sagaz/src/core/definition/draft.ts";
import type { RetryPolicy } from "../../packages/sagaz/src/core/definition/policies.ts";
import type { SeededChance } from "../../packages/sagaz/src/testing/seeded-chance.ts";
import type { Manner, Participants } from "./participants.ts";

interface Maker {
  readonly chance: SeededChance;
  readonly participants: Participants;
  readonly manners: Map<string, Manner>;
  /** How often a step of this saga is declined by the business. */
  readonly declines: number;
  readonly children: readonly SagaDefinition[];
}

/** What a random world can run, and how its participants behave, by definition and step. */
export interface Repertoire {
  readonly definitions: readonly SagaDefinition[];
  readonly manners: ReadonlyMap<string, Manner>;
}

/** Draws one to three sagas, which may have others as children. */
export function drawRepertoire(chance: SeededChance, participants: Participants): Repertoire {
  const manners = new Map<string, Manner>();
  const maker = (children: readonly SagaDefinition[]): Maker => ({
    chance,
    participants,
    manners,
    declines: chance.pick([0, 0, 0.1, 0.4] as const),
    children,
  });
  const children = Array.from({ length: chance.below(3) }, (_, i) =>
    draw(`child-${i}`, { maker: maker([]), stepsMax: 4 }),
  );
  const definitions = Array.from({ length: 1 + chance.below(3) }, (_, i) =>
    draw(`saga-${i}`, { maker: maker(children), stepsMax: 10 }),
  );
  return { definitions, manners };
}

function draw(name: string, { maker, stepsMax }: { maker: Maker; stepsMax: number }): SagaDefinition {
  const { chance } = maker;
  const count = 1 + chance.below(stepsMax);
  const pivotAt = chance.happens(0.5) ? chance.below(count) : undefined;
  const steps: StepDraft[] = [];
  for (let i = 0; i < count; i++) {
    const afterPivot = steps.some(isPivot);
    steps.push(
      drawStep(
        { name: `s${i}`, saga: name },
        { maker, steps, afterPivot, pivot: i === pivotAt && !afterPivot },
      ),
    );
  }
  return define({ name, options: drawOptions(chance), steps });
}

function drawOptions(chance: SeededChance): SagaOptions {
  return {
    strategy: chance.pick(["FAIL_FAST", "WAIT_ALL", "FAIL_FAST_WITH_GRACE"] as const),
    graceMs: chance.pick([0, 100, 2_000] as const),
    settleMs: chance.pick([0, 50, 1_000, 5_000] as const),
    ...(chance.happens(0.15) ? { timeoutMs: 500 + chance.below(20_000) } : {}),
    ...(chance.happens(0.3) ? { inFlightMax: chance.pick([1, 2] as const) } : {}),
  };
}

interface Place {
  readonly maker: Maker;
  readonly steps: readonly StepDraft[];
  readonly afterPivot: boolean;
  readonly pivot: boolean;
}

function drawStep({ name, saga }: { name: string; saga: string }, place: Place): StepDraft {
  const { maker, steps, afterPivot, pivot } = place;
  const { chance } = maker;
  const pick = (probability: number) =>
    steps.filter(() => chance.happens(probability)).map(({ name }) => name);
  let dependsOn = pick(chance.pick([0, 0.3, 1] as const));
  // Everything that can be undone is done before the pivot; what follows it goes only forward.
  if (pivot)
    dependsOn = [...new Set([...dependsOn, ...steps.filter(isCompensatable).map(({ name }) => name)])];
  const manner = drawManner(maker);
  maker.manners.set(`${saga}/${name}`, manner);
  const retriable = afterPivot && reachesPivot(dependsOn, steps);
  const undoable = !pivot && !afterPivot && chance.happens(0.7);
  const work = drawWork({ place, manner, mayBeChild: !afterPivot && !pivot });
  const isAction = work.kind === "action" || work.kind === "map";
  const childPivot = work.kind === "child" && work.child.pivot !== undefined;
  if (childPivot)
    dependsOn = [...new Set([...dependsOn, ...steps.filter(isCompensatable).map(({ name }) => name)])];
  const options = drawStepOptions(chance, { retriable, isAction, undo: undoable && isAction });
  const undo =
    undoable && isAction ? { run: undoOf(maker, manner), options: drawUndoOptions(chance) } : undefined;
  return { name, dependsOn, pivot: pivot && work.kind === "action", options, work, undo };
}

function reachesPivot(names: readonly string[], steps: readonly StepDraft[]): boolean {
  return names.some((name) => {
    const step = steps.find((one) => one.name === name);
    return step !== undefined && (isPivot(step) || reachesPivot(step.dependsOn ?? [], steps));
  });
}

function drawManner({ chance, declines }: Maker): Manner {
  return {
    fenced: chance.happens(0.6),
    declines: chance.happens(0.5) ? declines : 0,
    undoFails: chance.pick([0, 0, 0, 0.3, 1] as const),
    undoFailsForGood: chance.happens(0.3),
    answersNonsense: chance.happens(0.02),
    kills: chance.happens(0.03) ? chance.pick([0.5, 1] as const) : 0,
  };
}

function drawWork({
  place: { maker, pivot, steps },
  manner,
  mayBeChild,
}: {
  place: Place;
  manner: Manner;
  mayBeChild: boolean;
}): StepDraft["work"] {
  const { chance, participants, children } = maker;
  const run = (ctx: StepContext) => participants.do(ctx, manner);
  const verify = chance.happens(0.3) ? { verify: (ctx: VerifyContext) => participants.verify(ctx) } : {};
  const kind = pivot ? 0 : chance.next();
  if (kind < 0.65) return { kind: "action", transactional: false, do: run, ...verify };
  if (kind < 0.78) {
    const length = chance.below(5);
    const over = () => Array.from({ length }, (_, i) => i);
    return { kind: "map", over, concurrency: 1 + chance.below(3), do: run, ...verify };
  }
  if (kind < 0.84) return { kind: "signal", signal: "go", waitMs: 1_000 + chance.below(20_000) };
  if (kind < 0.9) return { kind: "sleep", forMs: chance.pick([1, 500, 8_000, 20_000] as const) };
  const hasPivot = steps.some(isPivot);
  const fit = children.filter((child) => child.pivot === undefined || !hasPivot);
  const [first] = fit;
  if (!mayBeChild || !first) return { kind: "action", transactional: false, do: run, ...verify };
  const child = chance.pick([first, ...fit.slice(1)]);
  return { kind: "child", child, input: () => ({ of: "a parent" }) };
}

function undoOf({ participants }: Maker, manner: Manner): (ctx: UndoContext) => unknown {
  return (ctx) => participants.undo(ctx, manner);
}

function drawRetry(chance: SeededChance): Partial<RetryPolicy> {
  return {
    maxAttempts: 1 + chance.below(4),
    initialMs: chance.pick([1, 100, 3_000] as const),
    maxMs: chance.pick([500, 10_000] as const),
    jitter: chance.pick(["full", "none"] as const),
  };
}

function drawStepOptions(
  chance: SeededChance,
  { retriable, isAction, undo }: { retriable: boolean; isAction: boolean; undo: boolean },
): StepOptions {
  const onUnknown = chance.pick(
    undo ? (["rerun", "undo", "park"] as const) : (["rerun", "rerun", "park"] as const),
  );
  return {
    retry: retriable
      ? { initialMs: 50, maxMs: chance.pick([500, 8_000] as const), forMs: 60_000 }
      : drawRetry(chance),
    timeoutMs: chance.pick([20, 300, 3_000, 20_000] as const),
    ...(chance.happens(0.1) ? { stepTimeoutMs: 200 + chance.below(5_000) } : {}),
    ...(isAction ? { onUnknown } : {}),
  };
}

function drawUndoOptions(chance: SeededChance) {
  return { retry: drawRetry(chance), onExhausted: chance.pick(["park", "park", "continue"] as const) };
}
