/** A text as it can be stored: no text of the database has a NUL, or half of a surrogate pair. */
export function storable(text: string): string {
  return Buffer.from(text.replaceAll("\0", "␀")).toString();
}
