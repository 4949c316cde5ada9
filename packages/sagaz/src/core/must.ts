import { SagaError } from "./errors.ts";

/**
 * Checks a rule that only a bug of ours can break, and throws `SAGAZ_BUG` naming it when it is broken.
 * Used on both sides of a border: when writing, and when reading back.
 */
export function must(condition: unknown, rule: string): asserts condition {
  if (!condition) throw new SagaError("SAGAZ_BUG", { rule });
}
