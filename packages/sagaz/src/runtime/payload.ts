import type { StandardSchema } from "../core/definition/standard-schema.ts";
import { SagaError } from "../core/errors.ts";
import { checkJson } from "../core/json.ts";

/** Bytes of one stored value (input, result, output, signal) as JSON text. */
export const PAYLOAD_BYTES_MAX = 1_048_576;

/** A value as the journal will give it back, and its text. */
export interface Payload {
  readonly value: unknown;
  readonly text: string;
}

/**
 * Turns a user's value into what is stored. The value that comes back is a frozen copy read from that very text, so a
 * step sees the same before and after a crash, and nobody changes it under the engine's feet.
 *
 * @throws SagaError `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`.
 */
export function toPayload(value: unknown, what: string, bytesMax = PAYLOAD_BYTES_MAX): Payload {
  checkJson(value, what);
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return { value: undefined, text: "null" };
  if (text.length * 3 > bytesMax) checkBytes(text, what, bytesMax);
  return { value: typeof value === "object" ? freeze(JSON.parse(text)) : value, text };
}

/** A character is at most three bytes of UTF-8, so short texts need no counting. */
function checkBytes(text: string, what: string, limit: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > limit) throw new SagaError("SAGAZ_PAYLOAD_TOO_LARGE", { what, bytes, limit });
}

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

/** What a schema says about a value: the value it makes of it, or its complaints in one line. */
export async function validate(
  schema: StandardSchema,
  value: unknown,
): Promise<{ readonly value: unknown } | { readonly issues: string }> {
  const answer = await schema["~standard"].validate(value);
  if (!answer.issues) return { value: answer.value };
  const issues = answer.issues.map(({ message, path }) => {
    const place = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return place === "" ? message : `${place}: ${message}`;
  });
  return { issues: issues.join("; ") };
}
