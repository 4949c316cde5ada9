import type { SqlRunner } from "../../core/definition/context.ts";

/** An effect that an open transaction has taken. */
interface Taken {
  readonly tx: SqlRunner;
  /** What is kept of it if the transaction commits. */
  standing: string | undefined;
  readonly settled: Promise<void>;
}

/** What participants remember, by participant and effect. */
export class EffectTable {
  readonly #rows = new Map<string, { standing: string | null; touchedAt: number }>();
  readonly #taken = new Map<string, Taken>();

  find(key: string): string | null {
    return this.#taken.get(key)?.standing ?? this.#rows.get(key)?.standing ?? null;
  }

  takenBy(key: string): Taken | undefined {
    return this.#taken.get(key);
  }

  /** Returns how to end it: kept, or as if nothing had been. */
  take(key: string, tx: SqlRunner): (hasCommitted: boolean, at: number) => void {
    let settle: (() => void) | undefined;
    const settled = new Promise<void>((resolve) => (settle = resolve));
    const taken: Taken = { tx, standing: undefined, settled };
    this.#taken.set(key, taken);
    return (hasCommitted, at) => {
      this.#taken.delete(key);
      if (hasCommitted) this.#rows.set(key, { standing: taken.standing ?? this.find(key), touchedAt: at });
      settle?.();
    };
  }

  /** Forgets what nobody has asked about since a time. */
  clear(before: number): void {
    for (const [key, { touchedAt }] of this.#rows) if (touchedAt < before) this.#rows.delete(key);
  }
}
