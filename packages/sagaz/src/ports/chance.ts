/** Randomness as an argument: jitter and ids are made from it, so that a test can repeat them. */
export interface Chance {
  /** A number in [0, 1). */
  next(): number;
  /** Fills the bytes with random ones. */
  fillBytes(bytes: Uint8Array): void;
}
