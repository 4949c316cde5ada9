import { SagaError } from "../errors.ts";
import type { Verdict, VerifyContext } from "./context.ts";
import { checkOptionNames } from "./check-options.ts";
import { declarationsOf, rememberStepName } from "./declared.ts";
import type { Declaration } from "./declared.ts";
import type { ActionOptions, ChildOptions, CommandOptions, MapOptions, SignalOptions } from "./decorators.ts";
import type { SagaDefinition } from "./definition.ts";
import type {
  SagaDraft,
  SagaOptions,
  StepDraft,
  StepOptions,
  StepWork,
  UndoDraft,
  UndoOptions,
} from "./draft.ts";
import { STEP_OPTIONS } from "./option-names.ts";
import type { Sagaish, SagaStatics } from "./sagaish.ts";
import { didYouMean } from "./suggest.ts";

/** A class and the instance whose methods are to run, so that they find their `this`. */
export interface Written {
  readonly sagaClass: SagaStatics;
  readonly instance: object;
  /** Finds the definition of a child saga. */
  readonly definitionOf: (child: Sagaish) => SagaDefinition;
}

/** Decorators that add to a step which another one makes, and what a class is told that uses them wrongly. */
const ADDITIONS = {
  compensate: { unknown: "SAGAZ_UNKNOWN_COMPENSATION", twice: "SAGAZ_DUPLICATE_COMPENSATION" },
  verify: { unknown: "SAGAZ_UNKNOWN_VERIFY", twice: "SAGAZ_DUPLICATE_VERIFY" },
} as const;

type Addition = keyof typeof ADDITIONS;
type Steps = Exclude<Declaration["decorator"], Addition>;
type Levels = readonly (readonly Declaration[])[];

/**
 * Gathers what the decorators of a class and its ancestors declared. A subclass adds steps, and replaces those of the
 * same name or on the same method; they keep their place in the order.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_COMPENSATION`, `SAGAZ_DUPLICATE_COMPENSATION`, `SAGAZ_UNKNOWN_VERIFY`,
 * `SAGAZ_DUPLICATE_VERIFY`, `SAGAZ_INVALID_OPTION`.
 */
export function draftOfClass(written: Written): SagaDraft {
  const { sagaClass } = written;
  const saga = sagaClass.sagaName;
  const levels = declarationsOf(sagaClass);
  const steps = inherited(levels.map((level) => level.filter(({ decorator }) => !(decorator in ADDITIONS))));
  const undos = additionsByStep("compensate", { saga, levels, steps });
  const verifies = additionsByStep("verify", { saga, levels, steps });
  return {
    name: saga,
    options: sagaClass as SagaOptions, // checked by `define`
    steps: steps.map((step) =>
      toStepDraft(step, { ...written, undo: undos.get(step.name), verify: verifies.get(step.name) }),
    ),
    input: sagaClass.input,
    output: sagaClass.output,
  };
}

/** Two steps of one name in one class both stay, so that `define` can refuse them. */
function inherited(levels: readonly (readonly Declaration[])[]): readonly Declaration[] {
  let steps: readonly Declaration[] = [];
  for (const own of levels) {
    const left = new Set(own);
    const kept = steps.map((old) => {
      const replacement = own.find((next) => left.has(next) && replaces(next, old));
      if (!replacement) return old;
      left.delete(replacement);
      return replacement;
    });
    steps = [...kept, ...left];
  }
  return steps;
}

function replaces(next: Declaration, old: Declaration): boolean {
  return next.name === old.name || (next.member !== undefined && next.member === old.member);
}

/** A subclass replaces what an ancestor added to a step; one class adds once. */
function additionsByStep(
  addition: Addition,
  { saga, levels, steps }: { saga: string; levels: Levels; steps: readonly Declaration[] },
): ReadonlyMap<string, Declaration> {
  const { unknown, twice } = ADDITIONS[addition];
  const added = new Map<string, Declaration>();
  for (const level of levels) {
    const own = new Set<string>();
    for (const declaration of level) {
      const { decorator, name: step } = declaration;
      if (decorator !== addition) continue;
      if (own.has(step)) throw new SagaError(twice, { saga, step });
      own.add(step);
      added.set(step, declaration);
    }
  }
  const names = steps.map(({ name }) => name);
  for (const step of added.keys()) {
    if (!names.includes(step)) throw new SagaError(unknown, { saga, step, hint: didYouMean(step, names) });
  }
  return added;
}

interface Place extends Written {
  readonly undo: Declaration | undefined;
  readonly verify: Declaration | undefined;
}

function toStepDraft(declaration: Declaration, place: Place): StepDraft {
  const { name } = declaration;
  const options = declaration.options as ActionOptions;
  const decorator = declaration.decorator as Steps;
  const edges = decorator === "action" || decorator === "command" ? ["dependsOn", "pivot"] : ["dependsOn"];
  const where = `step "${name}" of "${place.sagaClass.sagaName}"`;
  checkOptionNames(where, options, [...STEP_OPTIONS[decorator], ...edges]);
  return {
    name,
    dependsOn: options.dependsOn,
    pivot: options.pivot ?? false,
    options: decorator === "signal" ? toSignalOptions(declaration.options) : options,
    work: toWork(declaration, place),
    undo: place.undo && toUndo(place.undo, { where, instance: place.instance }),
  };
}

/** A signal's result is its payload. */
function toSignalOptions({ payload }: SignalOptions): StepOptions {
  return payload ? { result: payload } : {};
}

function toUndo(
  declaration: Declaration,
  { where, instance }: { where: string; instance: object },
): UndoDraft {
  const options = declaration.options as UndoOptions;
  checkOptionNames(`the compensation of ${where}`, options, ["after", "retry", "onExhausted"]);
  return { run: bound(declaration, instance), options };
}

function toWork(declaration: Declaration, place: Place): StepWork {
  const { instance, definitionOf } = place;
  const { name, options } = declaration;
  const member = declaration.read(instance);
  const verify = toVerify(declaration, place);
  switch (declaration.decorator as Steps) {
    case "action": {
      rememberStepName(member as object, name); // an overriding method has an identity of its own
      const { transactional = false } = options as ActionOptions;
      return { kind: "action", do: bound(declaration, instance), transactional, verify };
    }
    case "map": {
      rememberStepName(member as object, name);
      const { over, concurrency } = options as MapOptions;
      return {
        kind: "map",
        do: bound(declaration, instance),
        over: onInstance(over, instance),
        concurrency,
        verify,
      };
    }
    case "command":
      return { ...toCommand(name, options as CommandOptions), payload: bound(declaration, instance), verify };
    case "signal": {
      if (typeof member === "function") rememberStepName(member, name); // what payload() made
      const { signal = name, waitMs } = options as SignalOptions;
      return { kind: "signal", signal, waitMs };
    }
    case "sleep":
      return { kind: "sleep", forMs: bound(declaration, instance) };
    case "child": {
      const child = definitionOf((options as ChildOptions).saga);
      return { kind: "child", child, input: bound(declaration, instance) };
    }
  }
}

function toCommand(
  name: string,
  { topic, command = name, replyTimeoutMs, waitMs }: CommandOptions,
): Omit<Extract<StepWork, { kind: "command" }>, "payload" | "verify"> {
  return { kind: "command", command, topic, replyTimeoutMs, waitMs };
}

/** The option or the decorated method, whichever there is. */
function toVerify({ decorator, name, options }: Declaration, place: Place): ActionOptions["verify"] {
  const { verify: option } = options as ActionOptions;
  const { verify: method, instance, sagaClass } = place;
  if (!method) return option;
  const at = { saga: sagaClass.sagaName, step: name };
  if (decorator !== "action" && decorator !== "command" && decorator !== "map") {
    throw new SagaError("SAGAZ_UNKNOWN_VERIFY", { ...at, hint: ` A ${decorator} step is never in doubt.` });
  }
  if (option !== undefined) throw new SagaError("SAGAZ_DUPLICATE_VERIFY", at);
  return bound(method, instance) as (ctx: VerifyContext) => Verdict;
}

/** What is no function stays as it is, for `define` to refuse. */
function onInstance(over: MapOptions["over"], instance: object): MapOptions["over"] {
  if (typeof over !== "function") return over;
  return (ctx) => Reflect.apply(over, instance, [ctx]);
}

function bound(declaration: Declaration, instance: object): (ctx: object) => unknown {
  const method = declaration.read(instance) as (ctx: object) => unknown;
  return (ctx) => Reflect.apply(method, instance, [ctx]);
}
