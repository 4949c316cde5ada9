import { must } from "../../core/must.ts";
import type { Beat, Claim, ClaimedSaga, LeaseStore, NewWorker, TenantRoom } from "../../ports/storage.ts";
import { int4Array, textArray } from "./binary-arrays.ts";
import { claimSafely, findForgotten, type DoubtfulClaims } from "./claims.ts";
import { rollBack, type OpenConnection, type Statement } from "./connection.ts";
import { toTime, type Database } from "./database.ts";
import { sqlStateOf } from "./errors.ts";
import type { Hints } from "./hints.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";

const releaseChunk = 1_000;
const fenceWaitMs = 1_000;
/** How long a write is waited for again once whoever held it up was told to end. */
const fenceGraceMs = 1_000;
const lockNotAvailable = "55P03";

/** No heartbeat is given up sooner, in milliseconds, however short the lease. */
const beatMsLeast = 500;

/** Workers and who owns what. */
export class PostgresLeases implements LeaseStore {
  readonly #database: Database;
  readonly #hints: Hints;
  readonly #doubtful: DoubtfulClaims;
  /** Where the last claim by tenants stopped, in the words of `claim_fairly`. */
  #stoppedAt: string | null = null;

  constructor(parts: { database: Database; hints: Hints; doubtful: DoubtfulClaims }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
    this.#doubtful = parts.doubtful;
  }

  async register(worker: NewWorker): Promise<{ readonly epoch: number; readonly now: number }> {
    const database = this.#database;
    const definitions = worker.definitions.map(({ sagaName, version, graphHash, graph }) => ({
      name: sagaName,
      version,
      hash: graphHash,
      graph,
    }));
    const [row] = await database.write({
      text: database.sql.registerWorker,
      values: [worker.workerName, worker.leaseMs, JSON.stringify(definitions), database.now()],
    });
    must(row !== undefined, "a registration is answered");
    const now = Number(row["now"]);
    database.noteNow(now);
    database.noteDefinitions(worker.definitions);
    database.leaseMs = worker.leaseMs;
    return { epoch: Number(row["epoch"]), now };
  }

  async beat(epoch: number): Promise<Beat> {
    const database = this.#database;
    const statement = { text: database.sql.beat, values: [epoch, database.now()] };
    // A dead connection must not cost the lease: after half of it there is still time to beat on another one.
    const limitMs = Math.max(beatMsLeast, database.leaseMs / 2);
    const [row] = await database.heart.run(statement, { commits: true, limitMs });
    must(row !== undefined, "a heartbeat is answered");
    const now = Number(row["now"]);
    database.noteNow(now);
    const says = (field: string) => row[field] === "true";
    return {
      now,
      alive: says("alive"),
      work: says("work") || (says("alive") && this.#doubtful.has(epoch)),
      mail: says("mail"),
      upkeep: says("upkeep"),
    };
  }

  async fenceExpired(): Promise<number> {
    const database = this.#database;
    const workers = await database.read({ text: database.sql.expiredWorkers, values: [database.now()] });
    let released = 0;
    for (const worker of workers) {
      const epoch = Number(worker["epoch"]);
      if (worker["is_fenced"] !== "true" && !(await this.#fence(epoch))) continue;
      released += await this.#releaseAll(epoch);
    }
    if (released > 0) this.#hints.tell("work");
    return released;
  }

  claim(claim: Claim): Promise<readonly ClaimedSaga[]> {
    const database = this.#database;
    const { epoch, tenants, sagaId } = claim;
    const claimant = { database, doubtful: this.#doubtful, epoch };
    if (!tenants || sagaId !== undefined) return claimSafely(claimant, this.#toClaim(claim));
    const statement = this.#toFairClaim({ ...claim, tenants });
    this.#stoppedAt = null;
    return claimSafely({ ...claimant, onStopped: (at) => (this.#stoppedAt = at) }, statement);
  }

  #toClaim({ epoch, limit, definitions, tenants, sagaId }: Claim): Statement {
    const asked = definitions.map(({ sagaName: name, version, room = limit }) => ({
      name,
      version,
      room: Math.min(room, limit),
    }));
    const full = [...(tenants?.left ?? [])].filter(([, left]) => left <= 0).map(([tenant]) => tenant);
    const one = sagaId === undefined ? [null, null] : [sagaId, toTime(createdAtOf(sagaId))];
    const values = [epoch, limit, JSON.stringify(asked), ...one, textArray(full), this.#database.now()];
    return { text: this.#database.sql.claimDue, values };
  }

  #toFairClaim({ epoch, limit, definitions, tenants }: Claim & { tenants: TenantRoom }): Statement {
    const values = [
      epoch,
      limit,
      textArray(definitions.map(({ sagaName }) => sagaName)),
      int4Array(definitions.map(({ version }) => version)),
      int4Array(definitions.map(({ room = limit }) => Math.min(room, limit))),
      Math.min(tenants.each, limit),
      textArray([...tenants.left.keys()]),
      int4Array([...tenants.left.values()].map((left) => Math.min(left, limit))),
      this.#stoppedAt,
      this.#database.now(),
    ];
    return { text: this.#database.sql.claimFairly, values };
  }

  forgotten({
    epoch,
    known,
  }: {
    readonly epoch: number;
    readonly known: readonly string[];
  }): Promise<readonly ClaimedSaga[]> {
    return findForgotten({ database: this.#database, doubtful: this.#doubtful, epoch }, known);
  }

  async retire(epoch: number): Promise<void> {
    const database = this.#database;
    // Once it is shut out, whoever comes by can finish the rest, should this process not get to it.
    await database.write({ text: database.sql.fenceWorker, values: [epoch, true, database.now()] });
    if ((await this.#releaseAll(epoch)) > 0) this.#hints.tell("work");
  }

  /**
   * Shuts an expired worker out. A write of it that is still open is waited for, at most a second; then what holds
   * it up is told to end, if we may. If not, the next sweep tries again.
   */
  async #fence(epoch: number): Promise<boolean> {
    const lockMs = fenceWaitMs + fenceGraceMs;
    return this.#database.borrow(async (connection) => {
      const run = (text: string, values: readonly unknown[] = []) =>
        connection.run({ text, values }, { commits: false, lockMs });
      await run(`begin; set local lock_timeout = ${lockMs}`);
      const [self] = await run(this.#database.sql.ownPid);
      const end = this.#endBlockersOf(Number(self?.["pid"]));
      try {
        const [row] = await run(this.#database.sql.fenceWorker, [epoch, false, this.#database.now()]);
        await run("commit");
        return row?.["is_fenced"] === "true";
      } catch (error) {
        await rollBack(connection);
        if (sqlStateOf(error) === lockNotAvailable) return false;
        throw error;
      } finally {
        end.cancel();
      }
    });
  }

  #endBlockersOf(pid: number): { cancel(): void } {
    let isOver = false;
    const timer = setTimeout(() => {
      const { sql } = this.#database;
      const end = async (connection: OpenConnection) => {
        try {
          if (!isOver)
            await connection.run({ text: sql.terminateBlockers, values: [pid] }, { commits: true });
        } finally {
          connection.release();
        }
      };
      // Not permitted, or no connection left: then the worker stays as it is until the next sweep.
      this.#database
        .open()
        .then(end)
        .catch(() => {});
    }, fenceWaitMs);
    return {
      cancel: () => {
        isOver = true;
        clearTimeout(timer);
      },
    };
  }

  async #releaseAll(epoch: number): Promise<number> {
    const database = this.#database;
    let released = 0;
    for (;;) {
      const [row] = await database.write({
        text: database.sql.releaseOwned,
        values: [epoch, releaseChunk, database.now()],
      });
      const count = Number(row?.["count"]);
      released += count;
      // The call that finds none closes the worker's row, unless somebody holds one of its sagas just now.
      if (count === 0) return released;
    }
  }
}
