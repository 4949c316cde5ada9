import type { SchemaResult, StandardSchema } from "../core/definition/standard-schema.ts";

/** Bytes of one stored value (input, result, output, signal) as JSON text. */
export const PAYLOAD_BYTES_MAX = 1_048_576;

function freeze(value: unknown): unknown {
  if (typeof value === "object" && value !== null) {
    for (const one of Object.values(value)) freeze(one);
    Object.freeze(value);
  }
  return value;
}

/** Reads a value from the text that was stored. */
export function fromText(text: string): unknown {
  return freeze(JSON.parse(text));
}

/** What a schema makes of a value, or its complaints in one line. */
export type Checked = { readonly value: unknown } | { readonly issues: string };

/** What a schema says about a value: at once if it can, so that nobody changes the value before it is kept. */
export function validate(schema: StandardSchema, value: unknown): Checked | Promise<Checked> {
  const answer = schema["~standard"].validate(value);
  return "then" in answer ? answer.then(toChecked) : toChecked(answer);
}

function toChecked(answer: SchemaResult<unknown>): Checked {
  if (!answer.issues) return { value: answer.value };
  const issues = answer.issues.map(({ message, path }) => {
    const place = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return place === "" ? message : `${place}: ${message}`;
  });
  return { issues: issues.join("; ") };
}
