import type { Chance } from "../ports/chance.ts";

/**
 * Randomness that a seed repeats: the same seed gives the same numbers on every machine.
 *
 * xoshiro128** 1.1 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021),
 * its state filled by SplitMix32, as its authors advise, so that neighbouring seeds have nothing in common.
 * Not for secrets.
 */
export class SeededChance implements Chance {
  readonly #state: Uint32Array;

  /** @param seed A whole number; its lower 53 bits count. */
  constructor(seed: number) {
    this.#state = expand(seed);
  }

  next(): number {
    // 53 bits out of two words: as fine as a double can be.
    return ((this.#word() >>> 5) * 2 ** 26 + (this.#word() >>> 6)) / 2 ** 53;
  }

  fillBytes(bytes: Uint8Array): void {
    for (let place = 0; place < bytes.length; place += 4) {
      const word = this.#word();
      for (let byte = 0; byte < 4 && place + byte < bytes.length; byte++)
        bytes[place + byte] = word >>> (8 * byte);
    }
  }

  /** A whole number from 0 up to and without `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** True as often as the probability says. */
  happens(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of a list's items. */
  pick<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.below(items.length)] ?? items[0];
  }

  /** A second source that goes its own way: what one of them is asked for does not change what the other answers. */
  fork(): SeededChance {
    return new SeededChance(this.#word() * 2 ** 21 + (this.#word() >>> 11));
  }

  #word(): number {
    return nextWord(this.#state);
  }
}

/** One step of xoshiro128**; changes the state, which is four words and not all zero. */
export function nextWord(state: Uint32Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = state;
  const word = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
  const [e, f] = [c ^ a, d ^ b];
  state[0] = a ^ f;
  state[1] = b ^ e;
  state[2] = e ^ (b << 9);
  state[3] = rotate(f, 11);
  return word;
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/** SplitMix32 over both halves of the seed. */
function expand(seed: number): Uint32Array {
  let mixed = (seed >>> 0) ^ Math.imul(Math.floor(Math.abs(seed) / 2 ** 32) >>> 0, 0x85ebca6b);
  return Uint32Array.from({ length: 4 }, () => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let word = mixed ^ (mixed >>> 16);
    word = Math.imul(word, 0x21f0aaad);
    word ^= word >>> 15;
    word = Math.imul(word, 0x735a2d97);
    return (word ^ (word >>> 15)) >>> 0;
  });
}
