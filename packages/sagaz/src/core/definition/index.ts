/** What a user writes a saga with. */
export { saga } from "./builder.ts";
export type { BuilderOptions, SagaBuilder } from "./builder.ts";
export { CompensationGraph } from "./compensation-graph.ts";
export type { CompensationNode } from "./compensation-graph.ts";
export type {
  MapContext,
  MapUndoContext,
  ResultOf,
  SqlRunner,
  StepContext,
  StepContext as SagaContext,
  StepLog,
  StepMethod,
  UndoContext,
  Verdict,
  VerifyContext,
} from "./context.ts";
export {
  action,
  child,
  command,
  compensate,
  map,
  payload,
  signal,
  sleep,
  step,
  verify,
} from "./decorators.ts";
export type {
  ActionOptions,
  ChildOptions,
  CommandOptions,
  MapOptions,
  SignalField,
  SignalOptions,
  SleepOptions,
} from "./decorators.ts";
export { definitionOf } from "./definition-of.ts";
export type {
  ActionStep,
  ChildStep,
  CommandStep,
  MapStep,
  SagaDefinition,
  SignalStep,
  SleepStep,
  StepDefinition,
  StepDefinition as SagaStep,
  StepGraph,
  StepRole,
} from "./definition.ts";
export type { SagaOptions, StepOptions, UndoOptions } from "./draft.ts";
export { toMermaid } from "./mermaid.ts";
export type { MermaidOptions } from "./mermaid.ts";
export { validate } from "./plan.ts";
export type { SagaPlan } from "./plan.ts";
export type { PlanWarning } from "./plan-warnings.ts";
export type { WorstCase } from "./worst-case.ts";
export { DEFAULTS, LIMITS } from "./policies.ts";
export type { FailureStrategy, OnExhausted, OnUnknown, RetryPolicy } from "./policies.ts";
export type { Definable, SagaClass, Sagaish, SagaStatics } from "./sagaish.ts";
export { unchecked } from "./standard-schema.ts";
export type { OutputOf, SchemaIssue, SchemaResult, StandardSchema } from "./standard-schema.ts";
