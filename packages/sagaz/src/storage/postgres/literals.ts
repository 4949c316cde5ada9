/** What can stand in the text of a statement. A text has no NUL: it would end the statement. */
export type Literal = string | number | null;

/** A statement with its values in its text, for several statements that are to travel as one. */
export function withLiterals(text: string, values: readonly Literal[]): string {
  let out = "";
  let from = 0;
  for (let at = text.indexOf("$"); at >= 0; at = text.indexOf("$", from)) {
    // Nine parameters are the most.
    out += text.slice(from, at) + toLiteral(values[Number(text[at + 1]) - 1] ?? null);
    from = at + 2;
  }
  return out + text.slice(from);
}

const special = /["\\]/;

/** An array as PostgreSQL writes it in text. */
export function toArrayText(values: readonly Literal[]): string {
  let out = "";
  for (const value of values) out += `${out === "" ? "{" : ","}${toElement(value)}`;
  return out === "" ? "{}" : `${out}}`;
}

function toElement(value: Literal): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return `${value}`;
  // To look for such characters takes a fraction of replacing none.
  return special.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : `"${value}"`;
}

/** Between dollars nothing is read, whatever the settings of the session, but for the tag that ends it. */
function toLiteral(value: Literal): string {
  if (value === null) return "null";
  if (typeof value === "number") return `${value}`;
  let tag = "$sagaz$";
  for (let n = 1; makesTooSoon(value, tag); n++) tag = `$sagaz${n}$`;
  return `${tag}${value}${tag}`;
}

/** A text that lacks only the tag's last dollar at its end makes one with the tag that is to end it. */
function makesTooSoon(value: string, tag: string): boolean {
  return value.includes(tag) || value.endsWith(tag.slice(0, -1));
}
