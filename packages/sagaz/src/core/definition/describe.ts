const CHARACTERS_MAX = 60;

/** Shows a value that an author wrote, short enough for an error sentence. */
export function describe(value: unknown): string {
  if (typeof value === "string") {
    return `"${value.length > CHARACTERS_MAX ? `${value.slice(0, CHARACTERS_MAX)}…` : value}"`;
  }
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? "an array" : "an object";
}
