import { SagaError } from "../errors.ts";
import { draftOfClass } from "./class-draft.ts";
import { define } from "./define.ts";
import type { SagaDefinition } from "./definition.ts";
import { describe } from "./describe.ts";
import { definitionKey } from "./sagaish.ts";
import type { Definable, SagaClass, Sagaish, SagaStatics } from "./sagaish.ts";

const ofClasses = new WeakMap<object, SagaDefinition>();
const ofInstances = new WeakMap<object, SagaDefinition>();

/**
 * Finds the definition of whatever can be run as a saga. The same value always has the same definition.
 *
 * @throws SagaError `SAGAZ_NOT_A_DEFINITION` for anything else; the codes of `define` for a class that breaks a rule.
 */
export function definitionOf<Input, Output>(value: Sagaish<Input, Output>): SagaDefinition<Input, Output> {
  if (typeof value === "function" && isDefinable(value.prototype)) return definitionOfClass(value);
  if (isDefinable<Input, Output>(value)) return value[definitionKey]();
  if (isDefinition<Input, Output>(value)) return value;
  throw new SagaError("SAGAZ_NOT_A_DEFINITION", { value: describe(value) });
}

/**
 * Finds the definition of a class: its steps run on one instance, made without arguments. Two versions of a saga are
 * two classes.
 *
 * @throws SagaError with the code of the first rule that is broken.
 */
function definitionOfClass<Input, Output>(
  sagaClass: SagaClass<Input, Output>,
): SagaDefinition<Input, Output> {
  let definition = ofClasses.get(sagaClass);
  if (!definition) {
    definition = definitionOfInstance(new sagaClass());
    ofClasses.set(sagaClass, definition);
  }
  return definition as SagaDefinition<Input, Output>;
}

/**
 * Finds the definition of an instance of a saga class. Its methods run on this instance, so they reach what its
 * constructor was given. An instance holds no state of a run: it may run a thousand sagas at once.
 *
 * @throws SagaError with the code of the first rule that is broken.
 */
export function definitionOfInstance<Input, Output>(
  instance: Definable<Input, Output>,
): SagaDefinition<Input, Output> {
  let definition = ofInstances.get(instance);
  if (!definition) {
    const sagaClass = instance.constructor as unknown as SagaStatics;
    definition = define(draftOfClass({ sagaClass, instance, definitionOf }));
    ofInstances.set(instance, definition);
  }
  return definition as SagaDefinition<Input, Output>;
}

function isDefinable<Input, Output>(value: unknown): value is Definable<Input, Output> {
  return typeof value === "object" && value !== null && definitionKey in value;
}

/** By structure: it may come from another copy of the library. */
function isDefinition<Input, Output>(value: unknown): value is SagaDefinition<Input, Output> {
  return typeof value === "object" && value !== null && "graphHash" in value && "graph" in value;
}
