/**
 * PostgreSQL arrays in binary form, as `pg` sends any Buffer.
 *
 * The textual form of an array costs more than everything else that Node does for a write: each quote and backslash
 * of each JSON text is escaped here and unescaped there. In binary an element is its length and its bytes.
 * Format: `array_recv` in PostgreSQL's src/backend/utils/adt/arrayfuncs.c.
 */

const oid = { bool: 16, int8: 20, int4: 23, text: 25, timestamptz: 1184, uuid: 2950 } as const;
const headerBytes = 20;
const microsAtEpoch = 946_684_800_000_000; // PostgreSQL counts microseconds from 2000-01-01
const twoTo32 = 4_294_967_296;

/** Values of one column; null elements become SQL nulls. */
type Column<T> = readonly (T | null)[];

/** Builds the header, which is the same for every element type. */
function startArray(elementOid: number, count: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(headerBytes + bytes);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(1, 4); // "may hold nulls"
  buffer.writeInt32BE(elementOid, 8);
  buffer.writeInt32BE(count, 12);
  buffer.writeInt32BE(1, 16);
  return buffer;
}

/** Writes elements that have all the same size. */
function fixedArray<T>(
  element: { readonly oid: number; readonly bytes: number },
  values: Column<T>,
  write: (buffer: Buffer, value: T, offset: number) => void,
): Buffer {
  const buffer = startArray(element.oid, values.length, values.length * (4 + element.bytes));
  let offset = headerBytes;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? null;
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      buffer.writeInt32BE(element.bytes, offset);
      write(buffer, value, offset + 4);
      offset += 4 + element.bytes;
    }
  }
  return buffer.subarray(0, offset);
}

/** A `text[]`. */
export function textArray(values: Column<string>): Buffer {
  let bytes = 0;
  // Three bytes hold any UTF-16 unit: measuring the strings exactly costs more than the spare room.
  for (const value of values) bytes += 4 + (value === null ? 0 : value.length * 3);
  const buffer = startArray(oid.text, values.length, bytes);
  let offset = headerBytes;
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      const written = buffer.write(value, offset + 4);
      buffer.writeInt32BE(written, offset);
      offset += 4 + written;
    }
  }
  return buffer.subarray(0, offset);
}

/** A `uuid[]` from ids in their usual notation. */
export function uuidArray(values: Column<string>): Buffer {
  return fixedArray({ oid: oid.uuid, bytes: 16 }, values, writeUuid);
}

/** An `int4[]`. */
export function int4Array(values: Column<number>): Buffer {
  return fixedArray({ oid: oid.int4, bytes: 4 }, values, (buffer, value, offset) => {
    buffer.writeInt32BE(value, offset);
  });
}

/** A `boolean[]`. */
export function boolArray(values: Column<boolean>): Buffer {
  return fixedArray({ oid: oid.bool, bytes: 1 }, values, (buffer, value, offset) => {
    buffer[offset] = value ? 1 : 0;
  });
}

/** A `timestamptz[]` from milliseconds since 1970. */
export function timeArray(values: Column<number>): Buffer {
  return fixedArray({ oid: oid.timestamptz, bytes: 8 }, values, (buffer, value, offset) => {
    const micros = value * 1000 - microsAtEpoch;
    const high = Math.floor(micros / twoTo32);
    buffer.writeInt32BE(high, offset);
    buffer.writeUInt32BE(micros - high * twoTo32, offset + 4);
  });
}

function writeUuid(buffer: Buffer, id: string, offset: number): void {
  let at = offset;
  for (let index = 0; index < 36; index += 2) {
    if (id.charCodeAt(index) === 45) index += 1; // the dash
    buffer[at] = (nibble(id.charCodeAt(index)) << 4) | nibble(id.charCodeAt(index + 1));
    at += 1;
  }
}

/** Value of a hexadecimal digit; ids were checked before. */
function nibble(code: number): number {
  return code <= 57 ? code - 48 : (code | 32) - 87;
}
