import { must } from "../../core/must.ts";
import type { Database } from "./database.ts";

const askEveryMs = 100;
/** Longer ago, nobody knows how many ids have been given out since. */
const recentMs = 500;

/** What is certain of ids. */
export interface Decided {
  /** No id up to this one can come to light any more. */
  readonly upTo: number;
  /** The last one that had been given out. */
  readonly lastId: number;
  /** Another one when the server has begun anew, or another one has taken over: it may give ids out again. */
  readonly life: string;
}

/** An id, and what has to be over before it is decided. */
interface Generation {
  readonly lastId: number;
  readonly writers: readonly string[];
  /** Once the log is flushed up to here, no crash takes the id back. */
  readonly logged: number;
}

/**
 * Up to which id it is certain that no transaction which is still open can bring a row to light.
 *
 * A cursor over ids would pass by what commits late, and publish what was written after it first. So everything after
 * this mark is looked through each time; it only saves walking over what has long been deleted. A generation is an id
 * and the transactions that were writing when it was the last one; when all of those are over, the mark moves up to it.
 * Other transactions, however long, do not hold it up.
 */
export class UndecidedIds {
  readonly #database: Database;
  #decided: Decided = { upTo: 0, lastId: 0, life: "" };
  #generation: Generation | undefined;
  #asking: Promise<void> | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** When the last question was asked that has an answer. */
  #knownAt = Number.NEGATIVE_INFINITY;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Asks the database now and then. */
  async mark(): Promise<Decided> {
    const now = performance.now();
    if (now >= this.#askedAt + askEveryMs) {
      this.#askedAt = now;
      // One question at a time: an older answer does not know of writers that a newer one has told of.
      this.#asking ??= this.#ask(now).finally(() => {
        this.#asking = undefined;
      });
    }
    await this.#asking;
    return this.#decided;
  }

  /** What is known, without waiting, unless it is too old; where it grows old, it asks. */
  recent(): Decided | undefined {
    const age = performance.now() - this.#knownAt;
    // Whoever waits for an answer hears of trouble.
    if (age >= askEveryMs) this.mark().catch(() => {});
    return age < recentMs ? this.#decided : undefined;
  }

  async #ask(now: number): Promise<void> {
    const [row] = await this.#database.read({ text: this.#database.sql.undecidedIds });
    must(row !== undefined, "the ids are answered");
    this.#knownAt = now;
    const lastId = Number(row["last_id"]);
    const life = String(row["life"]);
    if (life !== this.#decided.life) this.#beginAnew(life);
    this.#decided = { ...this.#decided, lastId };
    const writers = String(row["writers"])
      .split(" ")
      .filter((writer) => writer !== "");
    if (!isOver(this.#generation, { writers, flushed: Number(row["flushed"]) })) return;
    this.#decided = { ...this.#decided, upTo: this.#generation?.lastId ?? 0 };
    this.#generation = { lastId, writers, logged: Number(row["logged"]) };
  }

  #beginAnew(life: string): void {
    this.#generation = undefined;
    this.#decided = { upTo: 0, lastId: 0, life };
  }
}

/** Nobody can bring an id of this generation to light any more, nor take one back. */
function isOver(
  generation: Generation | undefined,
  now: { readonly writers: readonly string[]; readonly flushed: number },
): boolean {
  if (!generation) return true;
  const open = new Set(now.writers);
  return now.flushed >= generation.logged && !generation.writers.some((writer) => open.has(writer));
}
