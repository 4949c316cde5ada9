import { SagaError } from "../errors.ts";
import type { StepMethod } from "./context.ts";
import { metadataKey } from "./symbol-metadata.ts";

/** What a decorator was told, and how to reach what it decorates. */
export interface Declaration {
  readonly decorator: "action" | "command" | "compensate" | "verify" | "map" | "signal" | "sleep" | "child";
  readonly name: string;
  readonly options: object;
  /** Position in the source: decorators of fields are applied after those of all methods, whatever was written first. */
  readonly position: number;
  /** The member's name; undefined for a private one, which a subclass cannot replace. */
  readonly member: PropertyKey | undefined;
  /** Reads the member from an instance, so that an overriding method is found. */
  readonly read: (instance: object) => unknown;
}

type MemberContext = ClassMethodDecoratorContext<never> | ClassFieldDecoratorContext<never>;

/** Where the declarations of one class (not of its ancestors) are kept in its metadata. */
const declared = Symbol.for("sagaz.declared");

const stepNames = new WeakMap<object, string>();
let positions = 0;

/**
 * Notes a declaration in the order in which decorators are written; `add` then puts it into the metadata of the class.
 *
 * @throws SagaError `SAGAZ_MISUSED_DECORATOR` from `add`, when the build does not follow the standard of decorators.
 */
export function declare(told: Pick<Declaration, "decorator" | "name" | "options">): {
  add: (context: MemberContext) => void;
} {
  const position = ++positions;
  return {
    add: (context) => {
      const metadata = checkContext(told, context);
      if (!Object.hasOwn(metadata, declared)) metadata[declared] = [];
      (metadata[declared] as Declaration[]).push({
        ...told,
        position,
        member: context.private ? undefined : context.name,
        read: (instance) => context.access.get(instance as never),
      });
    },
  };
}

function checkContext(
  { decorator, name }: Pick<Declaration, "decorator" | "name">,
  context: MemberContext,
): DecoratorMetadataObject {
  const misused = (why: string) => new SagaError("SAGAZ_MISUSED_DECORATOR", { decorator, step: name, why });
  if (typeof context !== "object") {
    throw misused('the build makes old-style decorators; remove "experimentalDecorators" from the tsconfig');
  }
  if (context.static) throw misused("a static member belongs to no instance; decorate an instance member");
  const kind = decorator === "signal" ? "field" : "method";
  if (context.kind !== kind) throw misused(`it decorates a ${kind}, not a ${String(context.kind)}`);
  if (!context.metadata)
    throw misused("the build gives decorators no metadata; it must follow the standard of 2023");
  return context.metadata;
}

/** Reads the declarations of a class, its ancestors' first; one list for each class that has any. */
export function declarationsOf(sagaClass: object): (readonly Declaration[])[] {
  const levels: (readonly Declaration[])[] = [];
  let metadata = (sagaClass as Record<symbol, DecoratorMetadataObject | null | undefined>)[metadataKey];
  while (metadata) {
    if (Object.hasOwn(metadata, declared)) {
      const own = metadata[declared] as readonly Declaration[];
      levels.unshift([...own].sort((a, b) => a.position - b.position));
    }
    metadata = Object.getPrototypeOf(metadata) as DecoratorMetadataObject | null;
  }
  return levels;
}

/** Lets `ctx.resultOf(this.method)` find the step by the identity of the method. */
export function rememberStepName(method: object, name: string): void {
  stepNames.set(method, name);
}

/**
 * Returns the name of the step that a decorated method is the action of, or whose payload a `@signal` field stands for;
 * undefined for anything else. Methods of `@sleep` and `@child` return no result, so they name none.
 */
export function stepNameOf(method: StepMethod): string | undefined {
  return stepNames.get(method);
}
