import type { PgConnection, PgSubmittable, PgWire } from "./pool.ts";

/** Room at first, and what it grows by. What is read is bounded: to grow beyond what Node allows it would take 2 GB. */
const bytesAtFirst = 8_192;
const growth = 4;

/** Runs a `COPY … TO STDOUT`, and answers all that it brings in one piece. */
export function copyOut(connection: PgConnection, text: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    connection.query(new CopyOut(text, { resolve, reject }));
  });
}

/**
 * Gathers what the server sends. It is copied, for the driver uses the memory of what it has handed over again; what is
 * read out of the piece later shares its memory.
 */
class CopyOut implements PgSubmittable {
  /** The driver calls it, and puts its own in its place, where queries have a time limit. */
  callback = (): void => {};
  readonly #text: string;
  readonly #end: { readonly resolve: (bytes: Buffer) => void; readonly reject: (error: Error) => void };
  #bytes = Buffer.allocUnsafe(bytesAtFirst);
  #length = 0;

  constructor(text: string, end: { resolve: (bytes: Buffer) => void; reject: (error: Error) => void }) {
    this.#text = text;
    this.#end = end;
  }

  submit(wire: PgWire): void {
    wire.query(this.#text);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    const length = this.#length + chunk.length;
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#bytes.length * growth));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.set(chunk, this.#length);
    this.#length = length;
  }

  handleError(error: Error): void {
    this.callback();
    this.#end.reject(error);
  }

  handleReadyForQuery(): void {
    this.callback();
    this.#end.resolve(this.#bytes.subarray(0, this.#length));
  }

  handleCommandComplete(): void {}
}
