import { SagaError } from "./errors.ts";

/**
 * Checks a rule that only a bug of ours can break, and throws `SAGAZ_BUG` naming it when it is broken.
 * Used on both sides of a border: when writing, and when reading back.
 */
export function must(condition: unknown, rule: string): asserts condition {
  if (!condition) throw new SagaError("SAGAZ_BUG", { rule });
}

/** Returns a value that a rule of ours says is there; throws `SAGAZ_BUG` naming the rule when it is not. */
export function need<Value>(value: Value | undefined, rule: string): Value {
  must(value !== undefined, rule);
  return value;
}
