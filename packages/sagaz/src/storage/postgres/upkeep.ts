import { must } from "../../core/must.ts";
import type { ClaimedSaga, ProjectedRow, UpkeepStore } from "../../ports/storage.ts";
import { claimSafely, type DoubtfulClaims } from "./claims.ts";
import { toTime, type Database } from "./database.ts";

import { OutboxDays } from "./outbox-days.ts";
import { effectsKeptDays, inboxKeptDays } from "./retention.ts";
import type { Retention } from "./retention.ts";
import { SagaMonths } from "./saga-months.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

const answeredMailKeptMs = 24 * 3_600_000;
const endedWorkersKeptMs = 24 * 3_600_000;
/** Longer than the outbox's log, so that whatever is replayed from it is recognised. */
const messagesKeptMs = inboxKeptDays * 24 * 3_600_000;
const effectsKeptMs = effectsKeptDays * 24 * 3_600_000;
const chunk = 1_000;

/** Partitions, leftovers, and rows written anew. */
export class PostgresUpkeep implements UpkeepStore {
  readonly #database: Database;
  readonly #doubtful: DoubtfulClaims;
  readonly #outboxDays: OutboxDays;
  readonly #sagaMonths: SagaMonths;

  readonly #retention: Retention;

  constructor(parts: { database: Database; doubtful: DoubtfulClaims; retention: Retention }) {
    this.#database = parts.database;
    this.#outboxDays = new OutboxDays(parts.database);
    this.#sagaMonths = new SagaMonths(parts.database);
    this.#retention = parts.retention;
    this.#doubtful = parts.doubtful;
  }

  async maintain(): Promise<void> {
    const { sql } = this.#database;
    const now = this.#database.now();
    await this.makePartitions();
    await this.#database.write({ text: sql.removeAnswered, values: [now, answeredMailKeptMs] });
    await this.#database.write({ text: sql.removeEndedWorkers, values: [now, endedWorkersKeptMs] });
    await this.#clearAway(sql.clearInbox, messagesKeptMs);
    await this.#clearAway(sql.clearFlows, messagesKeptMs);
    await this.#clearAway(sql.clearEffects, effectsKeptMs);
    const kept = await this.#retention.get();
    await this.#outboxDays.clear(kept);
    await this.#sagaMonths.clear(kept);
  }

  /** In small transactions, so that nobody waits for long and vacuum keeps up. */
  async #clearAway(text: string, keptMs: number): Promise<void> {
    const values = [this.#database.now(), keptMs, chunk];
    for (let cleared = chunk; cleared === chunk;) {
      const [row] = await this.#database.write({ text, values });
      cleared = Number(row?.["count"]);
    }
  }

  /** Tells whether the role of the pool may make partitions: it owns the tables, or belongs to the role that does. */
  async mayMakePartitions(): Promise<boolean> {
    const [row] = await this.#database.read({ text: this.#database.sql.mayMakePartitions });
    return row?.["may"] === "true";
  }

  /** Makes the partitions that there should be by now, if one is missing. */
  async makePartitions(): Promise<void> {
    const { sql } = this.#database;
    const [clock] = await this.#database.read({ text: sql.databaseNow, values: [this.#database.now()] });
    must(clock !== undefined, "the database tells its time");
    const now = Number(clock["ms"]);
    this.#database.noteNow(now);
    const values = [toTime(now)];
    // Looking takes no lock: most calls end here.
    const [missing] = await this.#database.read({ text: sql.missingPartitions, values });
    if (missing?.["count"] === "0") return;
    await this.#database.transact(async (connection) => {
      await connection.run({ text: sql.upkeepLock }, { commits: false });
      await connection.run({ text: sql.ensurePartitions, values }, { commits: false });
    });
  }

  claimOrphans(claim: {
    readonly epoch: number;
    readonly missingMs: number;
    readonly limit: number;
  }): Promise<readonly ClaimedSaga[]> {
    const database = this.#database;
    const values = [claim.epoch, claim.limit, claim.missingMs, database.now()];
    return claimSafely(
      { database, doubtful: this.#doubtful, epoch: claim.epoch },
      { text: database.sql.claimOrphans, values },
    );
  }

  async writeProjections(rows: readonly ProjectedRow[]): Promise<void> {
    if (rows.length === 0) return;
    const text = JSON.stringify(rows.map(toJson));
    await this.#database.write({ text: this.#database.sql.writeProjections, values: [text] });
  }
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : toTime(ms);
}

function toJson(row: ProjectedRow): object {
  return {
    saga: row.sagaId,
    created: toTime(createdAtOf(row.sagaId)),
    name: row.sagaName,
    version: row.version,
    hash: row.graphHash,
    tenant: row.tenantId,
    correlation: row.correlationId,
    parent: row.parentId,
    attributes: row.attributes,
    status: row.status,
    waiting: row.waitingFor,
    parked: row.parkedReason,
    paused: row.paused,
    error: row.error,
    output: row.output,
    wake: timeOrNull(row.wakeAt),
    updated: toTime(row.updatedAt),
    finished: timeOrNull(row.finishedAt),
  };
}
