import { SagaError } from "../../core/errors.ts";
import type { Database } from "./database.ts";

/** How long consumers remember what they have processed. */
export const inboxKeptDays = 35;
/** How long participants remember what they were last asked about: 13 months. */
export const effectsKeptDays = 396;
/** Whoever writes may be a little behind: the month before this one always has its partitions. */
const endedKeptDaysMin = 62;

/** How long ended sagas and the outbox's log are kept, and what becomes of older days of that. */
export interface KeptDays {
  readonly endedKeptDays: number;
  readonly outboxKeptDays: number;
  readonly oldOutboxDays: "drop" | "archive";
}

const defaults: KeptDays = { endedKeptDays: 366, outboxKeptDays: 30, oldOutboxDays: "drop" };

/**
 * What is kept for how long. It stands in the database, for all processes: what one of them sets holds for those that say
 * nothing, so that a relay beside the application does not drop what that wants to keep.
 */
export class Retention {
  readonly #database: Database;
  readonly #own: Partial<KeptDays>;

  /** @throws SagaError `SAGAZ_INVALID_OPTION`. */
  constructor(database: Database, own: Partial<KeptDays>) {
    check({ ...defaults, ...own });
    this.#database = database;
    this.#own = own;
  }

  /** Tells all what this process has been told. */
  async set(): Promise<void> {
    const { endedKeptDays = null, outboxKeptDays = null, oldOutboxDays = null } = this.#own;
    const values = [endedKeptDays, outboxKeptDays, oldOutboxDays];
    if (values.every((value) => value === null)) return;
    await this.#database.write({ text: this.#database.sql.setRetention, values });
  }

  /** @throws SagaError `SAGAZ_INVALID_OPTION` when somebody has written there what cannot be. */
  async get(): Promise<KeptDays> {
    const [row] = await this.#database.read({ text: this.#database.sql.retention });
    const { ended_kept_days: ended, outbox_kept_days: outbox, old_outbox_days: old } = row ?? {};
    const kept = {
      endedKeptDays: Number(ended ?? defaults.endedKeptDays),
      outboxKeptDays: Number(outbox ?? defaults.outboxKeptDays),
      oldOutboxDays: (old ?? defaults.oldOutboxDays) as KeptDays["oldOutboxDays"],
    };
    check(kept);
    return kept;
  }
}

function check({ endedKeptDays, outboxKeptDays, oldOutboxDays }: KeptDays): void {
  if (!Number.isInteger(endedKeptDays) || endedKeptDays < endedKeptDaysMin)
    throw invalid({ option: "endedKeptDays", value: String(endedKeptDays), rule: rules.endedKeptDays });
  if (!Number.isInteger(outboxKeptDays) || outboxKeptDays < 1 || outboxKeptDays >= inboxKeptDays)
    throw invalid({ option: "outboxKeptDays", value: String(outboxKeptDays), rule: rules.outboxKeptDays });
  if (oldOutboxDays === "drop" || oldOutboxDays === "archive") return;
  throw invalid({
    option: "oldOutboxDays",
    value: JSON.stringify(oldOutboxDays),
    rule: rules.oldOutboxDays,
  });
}

const rules = {
  endedKeptDays: `it must be a whole number from ${endedKeptDaysMin} on: this month and the one before are always there`,
  outboxKeptDays: `it must be a whole number from 1 to ${inboxKeptDays - 1}: for ${inboxKeptDays} days consumers remember what they have processed`,
  oldOutboxDays: 'it must be "drop" or "archive"',
};

function invalid(flaw: {
  readonly option: string;
  readonly value: string;
  readonly rule: string;
}): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "PostgreSQLStorage", ...flaw });
}
