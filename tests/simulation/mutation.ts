/** One way to break the engine: a text of its source, and what is put in its place. */
export interface Mutation {
  readonly name: string;
  /** Below `packages/sagaz/src`. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly text: string;
  readonly replacement: string;
}
