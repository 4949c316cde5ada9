import { isSagaError, SagaError } from "../../../core/errors.ts";
import { must } from "../../../core/must.ts";
import type { Reader, StreamLimits, StreamOutlook } from "../../../ports/event-stream.ts";
import type { TextRow } from "../connection.ts";
import type { Database } from "../database.ts";
import { sqlStateOf } from "../errors.ts";

/** What to do about what the server says when a slot, or a publication, cannot be made. */
const ADVICE: Readonly<Record<string, string>> = {
  "42501": "Give the role of the pool REPLICATION (alter role … replication)",
  "53300": "Raise max_wal_senders, or max_connections",
  "53400": "Raise max_replication_slots, or drop slots that nobody reads",
  // What a pooler says of a connection for replication.
  "08P01": "Pass the storage a replicationClient that goes straight to the server, past the pooler",
};
/** How the server says that somebody reads the slot already. */
const IS_READ = "55006";

/** The replication slot of a schema, and its publication. */
export class Slot {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** A name of the database: another schema has another one. */
  get publication(): string {
    return `sagaz_${this.#database.schema}`;
  }

  async name(): Promise<string> {
    return String((await this.#look())["slot"]);
  }

  /** See `EventStreams.prepare`. */
  async prepare({ slotWalBytesMax }: StreamLimits): Promise<StreamOutlook> {
    const row = await this.#look();
    const obstacle = obstacleOf(row);
    if (obstacle) return obstacle;
    if (row["mode"] === "debezium") {
      // Nobody would read it, and it would hold log.
      if (row["is_there"] === "true") await this.drop();
      return { kind: "soon" };
    }
    if (row["is_there"] !== "true") return this.#make();
    const outlook = outlookOf(row, slotWalBytesMax);
    if (outlook === undefined) return row["is_made"] === "true" ? { kind: "ready" } : { kind: "soon" };
    // Nobody reads it, or whoever does will see the same.
    if (outlook.kind === "lost") await this.drop();
    else await this.dropBehind(slotWalBytesMax);
    return outlook;
  }

  /** What becomes of a slot that is being read: undefined while all is well. */
  async trouble({ slotWalBytesMax }: StreamLimits): Promise<StreamOutlook | undefined> {
    const row = await this.#look();
    if (row["is_there"] !== "true") return { kind: "lost", why: "it was dropped" };
    return outlookOf(row, slotWalBytesMax);
  }

  /** Drops it, unless somebody reads it. */
  async drop(): Promise<void> {
    await this.#database.write({ text: this.#database.sql.dropSlot });
  }

  /** Drops it if it holds more log than it may, unless somebody reads it. Whoever is still making it is cut off. */
  async dropBehind(slotWalBytesMax: number): Promise<void> {
    await this.#database.write({ text: this.#database.sql.dropSlotBehind, values: [slotWalBytesMax] });
  }

  /** Cuts off whoever has the slot, for the reader: the server takes one whose machine is gone for alive, for a minute or for ever. */
  async wrest({ epoch, term }: Reader): Promise<void> {
    await this.#database.write({ text: this.#database.sql.wrestSlot, values: [epoch, term] });
  }

  async #make(): Promise<StreamOutlook> {
    const { sql, schema } = this.#database;
    try {
      await this.#database.write({ text: sql.ensurePublication, values: [this.publication] });
    } catch (error) {
      if (sqlStateOf(error) !== "42501") return toOutlook(error);
      const advice = `Let a role that owns the tables, and has CREATE on the database, run: select ${schema}.ensure_publication('${this.publication}')`;
      return { kind: "unavailable", why: wordsOf(error), advice };
    }
    try {
      // Two transactions: who has written may not make a slot.
      const [undrained] = await this.#database.write({ text: sql.undrain });
      const [row] = await this.#database.write({ text: sql.makeSlot, values: [undrained?.["epoch"]] });
      return { kind: row?.["is_made"] === "true" ? "ready" : "soon" };
    } catch (error) {
      return toOutlook(error);
    }
  }

  async #look(): Promise<TextRow> {
    const [row] = await this.#database.read({ text: this.#database.sql.slotState });
    must(row !== undefined, "the state of a slot is answered");
    return row;
  }
}

/** What is wrong with a slot that is there; undefined when nothing is. */
function outlookOf(row: TextRow, slotWalBytesMax: number): StreamOutlook | undefined {
  if (row["is_published"] !== "true")
    return { kind: "lost", why: "its publication does not have the outbox any more" };
  if (row["wal_status"] === "lost")
    return { kind: "lost", why: "the server has removed the log that it needs (max_slot_wal_keep_size)" };
  const keptBytes = Number(row["kept"] ?? 0);
  return keptBytes > slotWalBytesMax ? { kind: "behind", keptBytes } : undefined;
}

function obstacleOf(row: TextRow): StreamOutlook | undefined {
  if (row["is_standby"] === "true") {
    return { kind: "unavailable", why: "the server is a standby", advice: "Point the pool at the primary" };
  }
  if (row["wal_level"] === "logical") return undefined;
  const why = `wal_level is ${row["wal_level"]}`;
  return { kind: "unavailable", why, advice: "Set wal_level = logical and restart the server" };
}

/** A slot waits for all transactions that are open: longer than we wait for an answer, or another worker makes it. */
function toOutlook(error: unknown): StreamOutlook {
  const state = sqlStateOf(error);
  const advice = ADVICE[state ?? ""];
  if (advice !== undefined) return { kind: "unavailable", why: wordsOf(error), advice };
  if (state === "42710" || isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT")) return { kind: "soon" };
  throw error;
}

/** What a reader that could not begin, or was cut off, is told. */
export function slotError(error: SagaError): SagaError {
  const state = sqlStateOf(error);
  // The slot does not exist, or what it needs is gone.
  if (state === "42704" || state === "55000")
    return new SagaError("SAGAZ_SLOT_LOST", { why: wordsOf(error) }, { cause: error });
  const advice = state === undefined ? undefined : ADVICE[state];
  if (advice === undefined) return error;
  return new SagaError("SAGAZ_CDC_UNAVAILABLE", { why: wordsOf(error), advice }, { cause: error });
}

/** Tells whether a reader could not begin because somebody else reads. */
export function isRead(error: unknown): boolean {
  return sqlStateOf(error) === IS_READ;
}

/** What the server said, without what we made of it. */
function wordsOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
