import type { SqlRunner } from "../../core/definition/context.ts";

/** A message that somebody processes, or has processed. */
export interface Noted {
  readonly processedAt: number;
  /** The transaction that processes it. */
  readonly tx: SqlRunner;
  result: string | null;
  /** Those who came second wait for it. */
  readonly settled: Promise<void>;
  settle(): void;
}

/** What consumers have processed, by consumer and event. */
export class InboxTable {
  readonly #rows = new Map<string, Noted>();

  find(key: string): Noted | undefined {
    return this.#rows.get(key);
  }

  note(key: string, by: Pick<Noted, "processedAt" | "tx">): Noted {
    const { promise: settled, resolve: settle } = withResolvers();
    const row = { ...by, result: null, settled, settle };
    this.#rows.set(key, row);
    return row;
  }

  /** Nothing has been processed after all. */
  forget(key: string): void {
    this.#rows.get(key)?.settle();
    this.#rows.delete(key);
  }

  /** Forgets what was processed before a time. */
  clear(before: number): void {
    for (const [key, { processedAt }] of this.#rows) if (processedAt < before) this.#rows.delete(key);
  }
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: (() => void) | undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: () => resolve?.() };
}
