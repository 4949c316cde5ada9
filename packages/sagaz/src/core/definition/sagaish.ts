import type { SagaDefinition } from "./definition.ts";
import type { StandardSchema } from "./standard-schema.ts";

/**
 * The key under which a value offers its definition. Registered globally, so that an application that holds two copies
 * of the library still has one notion of it.
 */
export const definitionKey: unique symbol = Symbol.for("sagaz.definition") as never;

/** Something that offers a definition: an instance of a `Saga` class, a `ClassicSaga`. */
export interface Definable<Input = unknown, Output = unknown> {
  [definitionKey](): SagaDefinition<Input, Output>;
}

/**
 * What a saga class says about the saga as a whole. Only `sagaName` is required. It is never taken from the class's
 * own name, which minifiers change.
 */
export interface SagaStatics {
  readonly sagaName: string;
  readonly version?: number;
  readonly strategy?: string;
  readonly graceMs?: number;
  readonly settleMs?: number;
  readonly timeoutMs?: number;
  readonly retry?: object;
  readonly sequential?: boolean;
  readonly inFlightMax?: number;
  /** Standard Schema of the input. */
  readonly input?: StandardSchema;
  readonly output?: (results: Readonly<Record<string, unknown>>, input: never) => unknown;
}

/** A class whose decorated methods are the steps of a saga; instances are made without arguments. */
export type SagaClass<Input = unknown, Output = unknown> = (new () => Definable<Input, Output>) & SagaStatics;

/** Whatever can be run as a saga: a definition, a `Saga` class or an instance of one, a `ClassicSaga`. */
export type Sagaish<Input = unknown, Output = unknown> =
  SagaDefinition<Input, Output> | Definable<Input, Output> | SagaClass<Input, Output>;
