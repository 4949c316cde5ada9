import { SagaError } from "./errors.ts";

/**
 * Checks a rule that only a bug of ours can break, and throws `SAGAZ_BUG` naming it when it is broken.
 * Used on both sides of a border: when writing, and when reading back.
 */
export function must(condition: unknown, rule: string): asserts condition {
  if (!condition) throw new SagaError("SAGAZ_BUG", { rule });
}

/** Closes a switch over a union: does not compile while a case is missing, and throws `SAGAZ_BUG` on foreign data. */
export function unreachable(value: never): never {
  throw new SagaError("SAGAZ_BUG", { rule: `unknown case ${String(JSON.stringify(value))}` });
}
