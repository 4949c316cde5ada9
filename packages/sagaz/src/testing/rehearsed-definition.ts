import type { StepContext, UndoContext, VerifyContext } from "../core/definition/context.ts";
import type {
  ActionStep,
  CommandStep,
  MapStep,
  SagaDefinition,
  StepDefinition,
} from "../core/definition/definition.ts";
import { didYouMean } from "../core/definition/suggest.ts";
import { SagaError } from "../core/errors.ts";
import { fromKey } from "../core/saga/state.ts";
import { Signalled } from "./scripts.ts";
import type { Script } from "./scripts.ts";

/** What stands in for the functions of a definition. Keys are step names; `ship[2]` is one item of a map step. */
export interface Parts {
  readonly actions: Readonly<Record<string, Script | Signalled>>;
  readonly undos: Readonly<Record<string, Script>>;
  /** True: functions without a script return nothing instead of running the user's code. */
  readonly isStubbed: boolean;
  /** Runs each call, so that it can be noted and waited for. */
  readonly call: (name: string, run: () => unknown) => unknown;
}

type Own = (ctx: never) => unknown;
type AnyContext = StepContext & UndoContext;

/**
 * The same definition (name, version, graph) with scripts in place of functions.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_STEP` for a script of a step that does not exist, `SAGAZ_INVALID_OPTION` for one that
 * does not fit its step.
 */
export function rehearsed(definition: SagaDefinition, parts: Parts): SagaDefinition {
  for (const key of [...Object.keys(parts.actions), ...Object.keys(parts.undos)]) checkKey(definition, key);
  const steps = definition.steps.map((step) => {
    checkScript(definition, { step, script: parts.actions[step.name] });
    if (step.kind === "command") return parts.isStubbed ? stubbed(step) : step;
    return step.kind === "action" || step.kind === "map" ? withScripts(step, parts) : step;
  });
  const byName = new Map(steps.map((step) => [step.name, step]));
  return { ...definition, steps, graph: { ...definition.graph, byName } };
}

function checkKey({ name: saga, graph }: SagaDefinition, key: string): void {
  const { name: step } = fromKey(key);
  if (graph.byName.has(step)) return;
  throw new SagaError("SAGAZ_UNKNOWN_STEP", { saga, step, hint: didYouMean(step, graph.byName.keys()) });
}

function checkScript(
  { name }: SagaDefinition,
  { step, script }: { step: StepDefinition; script: Script | Signalled | undefined },
): void {
  if (script === undefined) return;
  const fits = script instanceof Signalled ? step.kind === "signal" : TAKES_SCRIPT.has(step.kind);
  if (fits) return;
  throw new SagaError("SAGAZ_INVALID_OPTION", {
    where: `when(…) for "${name}"`,
    option: step.name,
    value: script instanceof Signalled ? "receives(…)" : "a script",
    rule: `a ${step.kind} step takes ${step.kind === "signal" ? "receives(payload)" : "no script"}`,
  });
}

const TAKES_SCRIPT = new Set<StepDefinition["kind"]>(["action", "command", "map"]);

/** Its participant is stubbed anyway; see `scripted-participants.ts`. */
function stubbed(step: CommandStep): CommandStep {
  return { ...step, payload: () => null, undo: step.undo && (() => null) };
}

function withScripts<Step extends ActionStep | MapStep>(step: Step, parts: Parts): Step {
  const { undo, verify } = step;
  return {
    ...step,
    do: scripted("", { own: step.do, scripts: parts.actions, parts }),
    ...(undo ? { undo: scripted("undo ", { own: undo, scripts: parts.undos, parts }) } : {}),
    ...(verify ? { verify: verifying(step.name, { verify, parts }) } : {}),
  };
}

function scripted(
  prefix: string,
  on: { own: Own; scripts: Parts["actions"]; parts: Parts },
): (ctx: AnyContext) => unknown {
  const { own, scripts, parts } = on;
  return (ctx) => {
    const script = scripts[ctx.step] ?? scripts[fromKey(ctx.step).name];
    const runOwn = () => (parts.isStubbed ? undefined : own(ctx as never));
    return parts.call(`${prefix}${ctx.step}`, () =>
      typeof script === "function" ? script(ctx, runOwn) : runOwn(),
    );
  };
}

/** A stubbed step knows nothing of its effect, so there is nothing to ask. */
function verifying(
  step: string,
  { verify, parts }: { verify: NonNullable<ActionStep["verify"]>; parts: Parts },
): NonNullable<ActionStep["verify"]> {
  if (parts.isStubbed) return () => ({ outcome: "unknown" });
  return (ctx: VerifyContext) => parts.call(`verify ${step}`, () => verify(ctx)) as ReturnType<typeof verify>;
}
