/** A text as it can be stored everywhere: without NUL, and without half of a surrogate pair. */
export function storable(text: string): string {
  return text.replaceAll("\0", "␀").toWellFormed();
}
