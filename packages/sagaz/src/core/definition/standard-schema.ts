/**
 * The part of Standard Schema v1 (https://standardschema.dev) that sagaz uses, written out so that the library
 * needs no dependency: zod, valibot and arktype schemas fit it as they are.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema answers: the value as it wants it, or the reasons why not. */
export type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

/** One reason, and the path in the value where it applies. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The type that a schema yields. */
export type OutputOf<Schema> = Schema extends StandardSchema<unknown, infer Output> ? Output : never;

/**
 * Makes a schema that gives a value a type and accepts whatever comes, for a saga or signal that needs no validation:
 * `saga("trip", { input: unchecked<Trip>() })`.
 */
export function unchecked<Value>(): StandardSchema<unknown, Value> {
  return { "~standard": { version: 1, vendor: "sagaz", validate: (value) => ({ value: value as Value }) } };
}
