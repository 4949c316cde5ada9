/**
 * Lengths in records are zigzag varints: 7 bits a byte, the lowest first, and one bit for the sign, which is none here.
 * The wire format is Protocol Buffers' (https://protobuf.dev/programming-guides/encoding/#signed-ints).
 */
export function lengthBytes(length: number): number {
  let bytes = 1;
  for (let rest = length >>> 6; rest > 0; rest >>>= 7) bytes += 1;
  return bytes;
}

/** Writes a length; answers where it ends. */
export function writeLength(bytes: Buffer, length: number, at: number): number {
  let next = at;
  let rest = (length << 1) >>> 0;
  for (; rest > 0x7f; rest >>>= 7) bytes[next++] = (rest & 0x7f) | 0x80;
  bytes[next++] = rest;
  return next;
}
