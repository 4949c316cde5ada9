import type { PgConnection, PgSubmittable, PgWire } from "./pool.ts";

/** Rows are kept in pieces of this size, in bytes: for one that is larger there is a piece of its own. */
const PIECE_BYTES = 256 << 10;
/** The first piece is as large as what is asked for most often, which is nothing. */
const FIRST_PIECE_BYTES = 4 << 10;

/**
 * Runs a `COPY … TO STDOUT`, and answers all that it brings in pieces of whole rows: the server sends each row in a message of
 * its own (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY).
 */
export function copyOut(connection: PgConnection, text: string): Promise<readonly Buffer[]> {
  return new Promise((resolve, reject) => {
    connection.query(new CopyOut(text, { resolve, reject }));
  });
}

/** How a copy ends. */
interface End {
  readonly resolve: (pieces: readonly Buffer[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Gathers what the server sends. It is copied once, for the driver uses the memory of what it has handed over again; what is
 * read out of the pieces later shares their memory. One that grows would be copied again and again, and what is thrown away
 * makes the garbage collector run.
 */
class CopyOut implements PgSubmittable {
  /** The driver calls it, and puts its own in its place, where queries have a time limit. */
  callback = (): void => {};
  readonly #text: string;
  readonly #end: End;
  readonly #full: Buffer[] = [];
  #piece = Buffer.allocUnsafe(FIRST_PIECE_BYTES);
  #length = 0;

  constructor(text: string, end: End) {
    this.#text = text;
    this.#end = end;
  }

  submit(wire: PgWire): void {
    wire.query(this.#text);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.#length + chunk.length > this.#piece.length) {
      this.#full.push(this.#used());
      this.#piece = Buffer.allocUnsafe(Math.max(PIECE_BYTES, chunk.length));
      this.#length = 0;
    }
    this.#piece.set(chunk, this.#length);
    this.#length += chunk.length;
  }

  #used(): Buffer {
    return this.#piece.subarray(0, this.#length);
  }

  handleError(error: Error): void {
    this.callback();
    this.#end.reject(error);
  }

  handleReadyForQuery(): void {
    this.callback();
    this.#end.resolve([...this.#full, this.#used()]);
  }

  handleCommandComplete(): void {}
}
