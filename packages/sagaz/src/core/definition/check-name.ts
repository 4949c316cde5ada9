import { SagaError } from "../errors.ts";
import { LIMITS } from "./policies.ts";
import { describe } from "./describe.ts";

const USABLE = /^[a-zA-Z0-9_.:-]+$/;

/**
 * Checks the name of a saga, step, command or signal. Names are keys in the journal, in SQL, in URLs and in idempotency keys,
 * hence the narrow alphabet; `[` and `]` belong to the items of map steps.
 *
 * @throws SagaError `SAGAZ_INVALID_NAME`.
 */
export function checkName(
  what: "saga" | "step" | "command" | "signal",
  name: unknown,
): asserts name is string {
  const why = whyNot(name);
  if (why) throw new SagaError("SAGAZ_INVALID_NAME", { what, name: describe(name), why });
}

function whyNot(name: unknown): string | undefined {
  if (typeof name !== "string") return "it is not a string";
  if (name.length > LIMITS.nameLengthMax) return `it has ${name.length} characters`;
  if (!USABLE.test(name)) return name === "" ? "it is empty" : "it has other characters";
  // Results are keyed by step name in plain objects.
  return name in Object.prototype ? "every object of JavaScript has a property of that name" : undefined;
}
