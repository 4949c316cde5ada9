import { must } from "../../core/must.ts";

/**
 * Columns in PostgreSQL's binary format.
 *
 * Turned into text, as `pg` does it, an array costs more than everything else that Node does for a write: each quote and
 * backslash of each JSON text is escaped here and unescaped there. In binary an element is its length and its bytes.
 * Formats: `array_recv` and `record_recv` in PostgreSQL's src/backend/utils/adt, arrayfuncs.c and rowtypes.c.
 */

const microsAtEpoch = 946_684_800_000_000; // PostgreSQL counts microseconds from 2000-01-01
const twoTo32 = 4_294_967_296;
/** The range of `Date`; PostgreSQL's is wider after 1970, and narrower before. */
const timeMsMax = 8.64e15;
const arrayHeaderBytes = 20;
/** Up to here a loop over the characters is quicker than a call of the encoder. */
const shortText = 24;

/** One element type: how PostgreSQL names it and its array, and how a value is written. */
interface Element<T> {
  readonly oid: number;
  readonly arrayOid: number;
  readonly put: (out: Output, value: T) => void;
}

/** Takes an element's value out of a row; null becomes an SQL null. */
type Pick<R, T> = (row: R) => T | null;

/** Bytes one after the other, in a buffer that grows. */
class Output {
  #bytes: Buffer;
  at = 0;

  constructor(bytes: number) {
    this.#bytes = Buffer.allocUnsafe(bytes);
  }

  /** Makes room for so many bytes more. */
  room(bytes: number): void {
    if (this.at + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.at + bytes));
    this.#bytes.copy(larger, 0, 0, this.at);
    this.#bytes = larger;
  }

  /** Writes an `int4`, for which there has to be room. */
  int4(value: number): void {
    this.int4At(this.at, value);
    this.at += 4;
  }

  /** Writes an `int4` at an earlier place. */
  int4At(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
  }

  /** Writes a time as eight bytes, for which there has to be room. */
  time(ms: number): void {
    must(Math.abs(ms) <= timeMsMax, "a time of a row is one that a Date can hold");
    const micros = ms * 1000 - microsAtEpoch;
    const high = Math.floor(micros / twoTo32);
    this.int4(high);
    this.int4(micros - high * twoTo32);
  }

  byte(value: number): void {
    this.#bytes[this.at++] = value;
  }

  /** Writes an id's sixteen bytes, for which there has to be room. */
  uuid(id: string): void {
    const bytes = this.#bytes;
    let { at } = this;
    for (let index = 0; index < 36; index += 2) {
      if (id.charCodeAt(index) === 45) index += 1; // the dash
      bytes[at++] = (nibble(id.charCodeAt(index)) << 4) | nibble(id.charCodeAt(index + 1));
    }
    this.at = at;
  }

  /** Writes a text as UTF-8, without its length, and makes room for it. */
  text(value: string): void {
    this.room(value.length * 3); // three bytes hold any UTF-16 unit
    if (value.length > shortText || !this.#shortAscii(value)) this.at += this.#bytes.write(value, this.at);
  }

  #shortAscii(value: string): boolean {
    const { at } = this;
    const bytes = this.#bytes;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[at + i] = code;
    }
    this.at += value.length;
    return true;
  }

  end(): Buffer {
    return this.#bytes.subarray(0, this.at);
  }
}

const uuid: Element<string> = {
  oid: 2950,
  arrayOid: 2951,
  put: (out, id) => {
    out.room(20);
    out.int4(16);
    out.uuid(id);
  },
};

/** Value of a hexadecimal digit; ids were checked before. */
function nibble(code: number): number {
  return code <= 57 ? code - 48 : (code | 32) - 87;
}

const text: Element<string> = {
  oid: 25,
  arrayOid: 1009,
  put: (out, value) => {
    out.room(4);
    const lengthAt = out.at;
    out.at += 4;
    out.text(value);
    out.int4At(lengthAt, out.at - lengthAt - 4);
  },
};

const int4: Element<number> = {
  oid: 23,
  arrayOid: 1007,
  put: (out, value) => {
    must(value === (value | 0), "an integer of a row fits into four bytes");
    out.room(8);
    out.int4(4);
    out.int4(value);
  },
};

const int8: Element<number> = {
  oid: 20,
  arrayOid: 1016,
  put: (out, value) => {
    must(Number.isSafeInteger(value), "a long integer of a row is one that a number can hold");
    out.room(12);
    out.int4(8);
    const high = Math.floor(value / twoTo32);
    out.int4(high);
    out.int4(value - high * twoTo32);
  },
};

const bool: Element<boolean> = {
  oid: 16,
  arrayOid: 1000,
  put: (out, value) => {
    out.room(5);
    out.int4(1);
    out.byte(value ? 1 : 0);
  },
};

/** From milliseconds since 1970. */
const time: Element<number> = {
  oid: 1184,
  arrayOid: 1185,
  put: (out, value) => {
    out.room(12);
    out.int4(8);
    out.time(value);
  },
};

/** Writes an array; false when all its elements are null. */
function putArray<R, T>(
  out: Output,
  { oid, put }: Element<T>,
  { rows, pick }: { readonly rows: readonly R[]; readonly pick: Pick<R, T> },
): boolean {
  let some = false;
  out.room(arrayHeaderBytes + 4 * rows.length);
  out.int4(1);
  out.int4(1); // "may hold nulls"
  out.int4(oid);
  out.int4(rows.length);
  out.int4(1);
  for (const row of rows) {
    const value = pick(row);
    if (value === null) {
      out.room(4);
      out.int4(-1);
    } else {
      put(out, value);
      some = true;
    }
  }
  return some;
}

/** A row type whose columns are arrays, written column by column in the order of the type. */
export class ColumnsWriter<R> {
  readonly #out: Output;
  readonly #rows: readonly R[];

  constructor(rows: readonly R[], columns: number) {
    this.#rows = rows;
    this.#out = new Output(columns * (8 + arrayHeaderBytes) + rows.length * columns * 16);
    this.#out.int4(columns);
  }

  uuids(pick: Pick<R, string>): this {
    return this.#column(uuid, pick);
  }
  texts(pick: Pick<R, string>): this {
    return this.#column(text, pick);
  }
  int4s(pick: Pick<R, number>): this {
    return this.#column(int4, pick);
  }
  bools(pick: Pick<R, boolean>): this {
    return this.#column(bool, pick);
  }
  /** From milliseconds since 1970. */
  times(pick: Pick<R, number>): this {
    return this.#column(time, pick);
  }

  #column<T>(element: Element<T>, pick: Pick<R, T>): this {
    const out = this.#out;
    out.room(8);
    out.int4(element.arrayOid);
    const lengthAt = out.at;
    out.at += 4;
    if (putArray(out, element, { rows: this.#rows, pick })) out.int4At(lengthAt, out.at - lengthAt - 4);
    else {
      // A column without a value is null as a whole.
      out.at = lengthAt;
      out.int4(-1);
    }
    return this;
  }

  end(): Buffer {
    return this.#out.end();
  }
}

/** Values of one array; null elements become SQL nulls. */
type Column<T> = readonly (T | null)[];

function toArray<T>(element: Element<T>, values: Column<T>): Buffer {
  const out = new Output(arrayHeaderBytes + values.length * 24);
  putArray(out, element, { rows: values, pick: itself });
  return out.end();
}

function itself<T>(value: T): T {
  return value;
}

/** A `text[]`. */
export function textArray(values: Column<string>): Buffer {
  return toArray(text, values);
}

/** A `uuid[]` from ids in their usual notation. */
export function uuidArray(values: Column<string>): Buffer {
  return toArray(uuid, values);
}

/** An `int4[]`. */
export function int4Array(values: Column<number>): Buffer {
  return toArray(int4, values);
}

/** An `int8[]`. */
export function int8Array(values: Column<number>): Buffer {
  return toArray(int8, values);
}

/** A `boolean[]`. */
export function boolArray(values: Column<boolean>): Buffer {
  return toArray(bool, values);
}

/** A `timestamptz[]` from milliseconds since 1970. */
export function timeArray(values: Column<number>): Buffer {
  return toArray(time, values);
}

/** One `timestamptz` from milliseconds since 1970. */
export function timeValue(ms: number): Buffer {
  const out = new Output(8);
  out.time(ms);
  return out.end();
}
