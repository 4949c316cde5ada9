/** Keys are spread over so many shards; so many relays at most can work at a time. Part of what is stored. */
export const OUTBOX_SHARDS = 64;

/**
 * The shard of a key: FNV-1a (32 bits; Fowler, Noll, Vo) over its UTF-16 units, so that every process, and every
 * storage, finds the same one.
 */
export function shardOf(key: string, shards: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) {
    hash ^= key.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  // The low bits of FNV mix badly for short keys.
  return ((hash ^ (hash >>> 15)) >>> 0) % shards;
}
