import { must } from "../../core/must.ts";
import type { Database } from "./database.ts";
import type { KeptDays } from "./retention.ts";

/** Pages of the table of keys that are looked through in one transaction: 8 MB. */
const PAGES_AT_A_TIME = 1_000;

/**
 * Old months of ended sagas leave, whole, with their journals and their idempotency keys.
 *
 * The two tables of a month first cease to be partitions, each by itself; then the month is looked at once more, since nobody
 * can write to it any more, and comes back if it is needed after all; then its keys are removed, and both tables dropped. Who
 * is stopped in between leaves tables behind, which the next one finds and goes on with. A month stays, however old it is, as
 * long as a saga of it has not ended, or is the child of one that has not.
 */
export class SagaMonths {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Lets go of what is older than what is kept. Twice does no harm, nor at the same time. */
  async clear({ endedKeptDays }: KeptDays): Promise<void> {
    const { sql } = this.#database;
    const values = [this.#database.now(), endedKeptDays];
    for (const row of await this.#database.read({ text: sql.oldSagaMonths, values })) {
      const { month, from, to, leave_sagas: leaveSagas, leave_events: leaveEvents } = row;
      must(month && from && to, "a month has a name and two ends");
      if (leaveSagas) await this.#database.write({ text: leaveSagas });
      if (leaveEvents) await this.#database.write({ text: leaveEvents });
      const judged = await this.#database.write({ text: sql.judgeSagaMonth, values: [month, from, to] });
      if (judged[0]?.["verdict"] !== "left") continue;
      await this.#removeKeys(from, to);
      await this.#database.write({ text: sql.dropSagaMonth, values: [month] });
    }
  }

  async #removeKeys(from: string, to: string): Promise<void> {
    const { sql } = this.#database;
    const [row] = await this.#database.read({ text: sql.pagesOfKeys });
    const pages = Number(row?.["count"]);
    for (let first = 0; first < pages; first += PAGES_AT_A_TIME)
      await this.#database.write({
        text: sql.removeKeys,
        values: [first, first + PAGES_AT_A_TIME, from, to],
      });
  }
}
