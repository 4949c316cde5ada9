/**
 * The partition of a key: that which Kafka's own clients choose, so that all who publish to a topic agree.
 *
 * It is murmur2 by Austin Appleby with Kafka's seed, without the sign, modulo the number of partitions.
 */
export function partitionOf(key: string, partitions: number): number {
  return (hashOf(key) & 0x7fffffff) % partitions;
}

/** A character takes three bytes at most. */
const bytesOfCharacterMax = 3;
/** Keys are written down here to be hashed: a buffer for each would take longer than its hash. */
const scratch = Buffer.alloc(4_096);

function hashOf(key: string): number {
  if (key.length * bytesOfCharacterMax > scratch.length) return murmur2(Buffer.from(key));
  return murmur2(scratch.subarray(0, scratch.write(key)));
}

const factor = 0x5bd1e995;

function murmur2(key: Uint8Array): number {
  const { length } = key;
  const whole = length & ~3;
  let hash = 0x9747b28c ^ length;
  for (let at = 0; at < whole; at += 4) {
    let word = Math.imul(wordAt(key, at, 4), factor);
    word = Math.imul(word ^ (word >>> 24), factor);
    hash = Math.imul(hash, factor) ^ word;
  }
  if (whole < length) hash = Math.imul(hash ^ wordAt(key, whole, length - whole), factor);
  hash = Math.imul(hash ^ (hash >>> 13), factor);
  return hash ^ (hash >>> 15);
}

/** Up to four bytes as a number, the first the lowest. */
function wordAt(key: Uint8Array, at: number, bytes: number): number {
  let word = 0;
  for (let n = 0; n < bytes; n++) word |= (key[at + n] ?? 0) << (8 * n);
  return word;
}
