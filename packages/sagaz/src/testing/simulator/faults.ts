import type { SeededChance } from "../seeded-chance.ts";

/** How the world treats a simulation: probabilities from 0 to 1, and times in milliseconds. */
export interface Faults {
  /** A storage call is refused before anything is written. */
  refuseWrite: number;
  /** A storage call is carried out, and its answer lost. */
  loseAnswer: number;
  /** A batch is refused for good, because of one entry in it; each saga at most once for each process. */
  poison: number;
  /** A storage call's answer is lost at once, and the call carried out only after that, up to `slowMs` later. */
  straggle: number;
  /** A storage call takes time, up to `slowMs` each way. */
  slowStorage: number;
  slowMs: number;
  /** A request to a saga arrives twice. */
  repeatMail: number;
  /** A step's call fails before it does anything. */
  refuseCall: number;
  /** A step's call is carried out, and the connection breaks before the answer. */
  loseReply: number;
  /** A step's call never answers; half of them are carried out. */
  silence: number;
  /** A step's call is carried out, or answered, long after; up to `lateMs`. */
  late: number;
  lateMs: number;
  /** A step's call arrives twice, with one idempotency key. */
  repeatCall: number;
}

/** A world without faults. */
export const calm: Faults = {
  refuseWrite: 0,
  loseAnswer: 0,
  poison: 0,
  straggle: 0,
  slowStorage: 0,
  slowMs: 1,
  repeatMail: 0,
  refuseCall: 0,
  loseReply: 0,
  silence: 0,
  late: 0,
  lateMs: 1,
  repeatCall: 0,
};

/** Faults of which each is absent, rare or frequent, as chance will have it: so that some runs show one kind alone. */
export function drawFaults(chance: SeededChance): Faults {
  const often = (most: number) => chance.pick([0, 0, most / 10, most / 3, most] as const);
  return {
    refuseWrite: often(0.2),
    loseAnswer: often(0.2),
    poison: often(0.02),
    straggle: often(0.1),
    slowStorage: often(0.5),
    slowMs: chance.pick([3, 30, 300, 2_000] as const),
    repeatMail: often(0.3),
    refuseCall: often(0.3),
    loseReply: often(0.3),
    silence: often(0.2),
    late: often(0.4),
    lateMs: chance.pick([50, 500, 5_000, 30_000] as const),
    repeatCall: often(0.2),
  };
}
