import { must } from "../../core/must.ts";
import type { Database } from "./database.ts";
import type { KeptDays } from "./retention.ts";

/**
 * Old days of the outbox's log leave it, whole: nothing is deleted row by row.
 *
 * A day first ceases to be a partition, which commits by itself, and is cleared away then, in a second transaction. Who is
 * stopped in between leaves a table behind, which the next one finds and clears. A day of which anything is still to be
 * sent stays, however old it is.
 */
export class OutboxDays {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Lets go of what is older than what is kept. Twice does no harm, nor at the same time. */
  async clear({ outboxKeptDays, oldOutboxDays }: KeptDays): Promise<void> {
    const { sql } = this.#database;
    const values = [this.#database.now(), outboxKeptDays];
    for (const day of await this.#database.read({ text: sql.oldOutboxDays, values })) {
      const { name, from, to, leave = null } = day;
      must(name !== undefined && from !== undefined && to !== undefined, "a day has a name and two ends");
      if (leave !== null) await this.#database.write({ text: leave });
      await this.#database.write({
        text: sql.clearOutboxDay,
        values: [name, from, to, oldOutboxDays === "archive"],
      });
    }
  }
}
