/** A statement whose values stand for question marks, in their order. */
export interface QuestionMarks {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/**
 * Writes PostgreSQL's `$1` as the `?` of Knex and MikroORM. A value that is named twice is given twice; question marks
 * that are none of theirs are escaped as both know it.
 */
export function toQuestionMarks(sql: string, params: readonly unknown[]): QuestionMarks {
  const values: unknown[] = [];
  const text = sql.replace(/\?|\$(\d+)/g, (mark, place: string | undefined) => {
    if (place === undefined) return `\\${mark}`;
    values.push(params[Number(place) - 1]);
    return "?";
  });
  return { sql: text, values };
}

/**
 * Throws what the server said. Both libraries put the statement before it, with up to 14,000 placeholders, or with the
 * values themselves, which are nobody's to read in a log.
 */
export function throwWithoutStatement(error: unknown, sql: string): never {
  if (error instanceof Error) {
    const end = `${sql.replace(/^[\s\S]*\$\d+/, "")} - `; // what follows the last value
    const at = error.message.lastIndexOf(end);
    if (at !== -1) error.message = error.message.slice(at + end.length);
  }
  throw error;
}
