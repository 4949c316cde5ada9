import { must, need } from "../../core/must.ts";

/** Its signature, no flags, no extension. */
const headerBytes = 19;
/** Stands in place of a row's number of columns behind the last row, and in place of a null's length. */
const none = -1;
const twoTo32 = 4_294_967_296;
/** Longer texts are not looked for in the row before: they are hardly ever the same. */
const comparedBytesMax = 64;

/** A text, and where it stands. */
interface Seen {
  readonly at: number;
  readonly length: number;
  readonly text: string;
}

const noBytes = Buffer.alloc(0);
const nothing: Seen = { at: 0, length: none, text: "" };

/**
 * Pieces of whole rows as `COPY … (FORMAT binary)` sends them, read field by field: "Binary Format" in
 * https://www.postgresql.org/docs/current/sql-copy.html.
 *
 * No field is made into a text that is only passed on, and no object is made of a row, as `pg` does it: with events of
 * 1 KB that was half of what reading them took, and most of the garbage.
 */
export class BinaryRows {
  readonly #pieces: Iterator<Buffer>;
  readonly #columns: number;
  /** Texts of the row before in this piece, by column: neighbours have much in common. */
  #seen: Seen[];
  #bytes = noBytes;
  #at = 0;
  #column = 0;

  constructor(pieces: readonly Buffer[], columns: number) {
    this.#pieces = pieces.values();
    this.#columns = columns;
    this.#seen = Array.from({ length: columns }, () => nothing);
    this.#open();
    this.#at = headerBytes;
  }

  /** Goes on with the next piece that holds anything. */
  #open(): void {
    do this.#bytes = need(this.#pieces.next().value, "rows end with a mark");
    while (this.#bytes.length === 0);
    this.#at = 0;
    this.#seen = this.#seen.map(() => nothing);
  }

  /** Goes to the next row, once all of this one is read. False behind the last one. */
  next(): boolean {
    if (this.#at === this.#bytes.length) this.#open();
    const columns = this.#bytes.readInt16BE(this.#at);
    this.#at += 2;
    this.#column = 0;
    must(columns === this.#columns || columns === none, "a row has the columns that were asked for");
    return columns !== none;
  }

  /** A whole number, whichever of PostgreSQL's types it has. */
  int(): number {
    const length = this.#enter();
    const at = this.#at;
    this.#at += length;
    if (length === 8) return this.#bytes.readInt32BE(at) * twoTo32 + this.#bytes.readUInt32BE(at + 4);
    must(length === 4 || length === 2, "a whole number has two, four or eight bytes");
    return length === 4 ? this.#bytes.readInt32BE(at) : this.#bytes.readInt16BE(at);
  }

  text(): string | null {
    const column = this.#column;
    const length = this.#enter();
    if (length === none) return null;
    const at = this.#at;
    this.#at += length;
    const seen = need(this.#seen[column], "every column has a place");
    if (this.#isSame(seen, length)) return seen.text;
    const text = this.#bytes.toString("utf8", at, at + length);
    this.#seen[column] = { at, length, text };
    return text;
  }

  /** The memory of the rows themselves. */
  bytes(): Buffer | null {
    const length = this.#enter();
    if (length === none) return null;
    const at = this.#at;
    this.#at += length;
    return this.#bytes.subarray(at, at + length);
  }

  /** Reads the length of the next field. */
  #enter(): number {
    const length = this.#bytes.readInt32BE(this.#at);
    this.#at += 4;
    this.#column += 1;
    return length;
  }

  /** Tells whether the text that ends here is the one of the row before. Ids of one time begin alike: so from behind. */
  #isSame({ at, length }: Seen, ofLength: number): boolean {
    if (length !== ofLength || length > comparedBytesMax) return false;
    const bytes = this.#bytes;
    const from = this.#at - length;
    for (let n = length - 1; n >= 0; n -= 1) if (bytes[from + n] !== bytes[at + n]) return false;
    return true;
  }
}
