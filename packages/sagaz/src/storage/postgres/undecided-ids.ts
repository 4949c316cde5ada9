import { must } from "../../core/must.ts";
import type { Database } from "./database.ts";

const askEveryMs = 100;

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
  #mark = 0;
  #generation: { readonly lastId: number; readonly writers: readonly string[] } | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(database: Database) {
    this.#database = database;
  }

  /** All ids up to this one are decided. Asks the database now and then. */
  async mark(): Promise<number> {
    const now = performance.now();
    if (now < this.#askedAt + askEveryMs) return this.#mark;
    this.#askedAt = now;
    const [row] = await this.#database.read({ text: this.#database.sql.undecidedIds });
    must(row !== undefined, "the ids are answered");
    const writers = new Set(
      String(row["writers"])
        .split(" ")
        .filter((writer) => writer !== ""),
    );
    const before = this.#generation;
    if (!before?.writers.some((writer) => writers.has(writer))) {
      this.#mark = before?.lastId ?? 0;
      this.#generation = { lastId: Number(row["last_id"]), writers: [...writers] };
    }
    return this.#mark;
  }
}
