/**
 * A map that most sagas never put anything into: until then it takes no room. With thousands of sagas in memory, what
 * each one carries along unused is most of what the garbage collector has to copy. Entries may be
 * deleted while it is iterated; unlike a `Map`'s, an iteration under way goes on after `clear()`, and does not see what is set
 * after the last entry was deleted.
 */
export class RareMap<K, V> {
  /** Undefined while there are no entries, so that two maps without any are alike. */
  private entries: Map<K, V> | undefined = undefined;

  get size(): number {
    return this.entries === undefined ? 0 : this.entries.size;
  }
  get(key: K): V | undefined {
    return this.entries?.get(key);
  }
  has(key: K): boolean {
    return this.entries !== undefined && this.entries.has(key);
  }
  set(key: K, value: V): void {
    this.entries ??= new Map();
    this.entries.set(key, value);
  }
  /** True when it was there. */
  delete(key: K): boolean {
    if (!this.entries?.delete(key)) return false;
    if (this.entries.size === 0) this.entries = undefined;
    return true;
  }
  clear(): void {
    this.entries = undefined;
  }
  keys(): Iterable<K> {
    return this.entries?.keys() ?? NONE;
  }
  values(): Iterable<V> {
    return this.entries?.values() ?? NONE;
  }
  [Symbol.iterator](): Iterator<[K, V]> {
    return this.entries?.[Symbol.iterator]() ?? NONE[Symbol.iterator]();
  }
}

const NONE: readonly never[] = [];
