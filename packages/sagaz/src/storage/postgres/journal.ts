import type { SqlRunner } from "../../core/definition/context.ts";
import { need } from "../../core/must.ts";
import type {
  AppendBatch,
  AppendReceipt,
  JournalStore,
  KeyedOutcome,
  RowChange,
  StartRow,
  Tail,
} from "../../ports/storage.ts";
import { startsOf, toWrite } from "./append-statement.ts";
import type { Write } from "./append-statement.ts";
import { commit, rollBack, type TextRow } from "./connection.ts";
import type { Database } from "./database.ts";
import { lacksPartition, toSagaError } from "./errors.ts";
import type { Lane } from "./lane.ts";
import { toAdded } from "./added-events.ts";
import type { PendingLook, PendingStart } from "./pending-start.ts";
import type { Hints } from "./hints.ts";
import { openRunner } from "./sql-runner.ts";
import { startIn, startKeyed } from "./keyed-starts.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import { timeArray, uuidArray } from "./binary-arrays.ts";

/** The journal and the rows that follow it: one statement a batch. */
export class PostgresJournal implements JournalStore {
  readonly #database: Database;
  readonly #hints: Hints;
  readonly #makePartitions: () => Promise<void>;
  readonly #pendingStart: PendingStart;
  /** Epochs of which a write may still be under way behind a connection that we have lost. */
  readonly #inDoubt = new Set<number>();

  constructor(parts: {
    database: Database;
    hints: Hints;
    makePartitions: () => Promise<void>;
    pendingStart: PendingStart;
  }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
    this.#makePartitions = parts.makePartitions;
    this.#pendingStart = parts.pendingStart;
  }

  async append(batch: AppendBatch): Promise<AppendReceipt> {
    const look = this.#lookFor(batch);
    const write = toWrite(this.#database, batch, look);
    const send = () => this.#freeWriter().run(write.statement, { commits: true });
    try {
      const receipt = this.#toReceipt(await withPartitions(send, this.#makePartitions), look);
      this.#announce(write);
      return receipt;
    } catch (error) {
      this.#noteDoubt(batch.epoch, error);
      throw error;
    }
  }

  #freeWriter(): Lane {
    const [first, second] = this.#database.writers;
    return first.isBusy ? second : first;
  }

  async tails(sagaIds: readonly string[]): Promise<readonly Tail[]> {
    if (sagaIds.length === 0) return [];
    for (const epoch of this.#inDoubt) {
      await this.#database.awaitWrites(epoch);
      this.#inDoubt.delete(epoch);
    }
    const rows = await this.#database.read({
      text: this.#database.sql.readTails,
      values: [uuidArray(sagaIds), timeArray(sagaIds.map(createdAtOf))],
    });
    return rows.map((row) => ({
      sagaId: String(row["saga_id"]),
      seq: Number(row["seq"]),
      owner: row["owner"] === null ? null : Number(row["owner"]),
    }));
  }

  async startKeyed(epoch: number, starts: readonly StartRow[]): Promise<readonly KeyedOutcome[]> {
    for (const start of starts) this.#database.checkSkew(start.sagaId);
    const outcomes = await withPartitions(
      () => startKeyed(this.#database, epoch, starts),
      this.#makePartitions,
    );
    if (starts.some((start) => !start.owned)) this.#hints.tell("work");
    return outcomes;
  }

  async startIn(tx: SqlRunner, start: StartRow): Promise<KeyedOutcome> {
    this.#database.checkSkew(start.sagaId);
    return startIn(this.#database, tx, start);
  }

  async transaction<T>(
    work: (tx: SqlRunner, append: (batch: AppendBatch) => Promise<AppendReceipt>) => Promise<T>,
  ): Promise<T> {
    return this.#database.transactions.pass(() => this.#transact(work));
  }

  async #transact<T>(
    work: (tx: SqlRunner, append: (batch: AppendBatch) => Promise<AppendReceipt>) => Promise<T>,
  ): Promise<T> {
    const { leaseMs } = this.#database;
    const appended: { epoch: number; write: Write }[] = [];
    return this.#database.borrow(async (connection) => {
      // A worker that stalls in the middle must not hold up the takeover of its sagas.
      const begin = `begin; set local idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)}`;
      await connection.run({ text: begin }, { commits: false });
      const runner = openRunner(connection, "a step");
      const append = async (batch: AppendBatch) => {
        runner.mustBeWhole();
        const look = this.#lookFor(batch);
        const write = toWrite(this.#database, batch, look);
        const rows = await connection.run(write.statement, { commits: false });
        appended.push({ epoch: batch.epoch, write });
        return this.#toReceipt(rows, look);
      };
      try {
        const result = await work(runner.tx, append);
        runner.close();
        await commit(connection);
        for (const { write } of appended) this.#announce(write);
        return result;
      } catch (error) {
        runner.close();
        for (const { epoch } of appended) this.#noteDoubt(epoch, error);
        await rollBack(connection);
        throw error;
      }
    });
  }

  #lookFor({ holdMs }: AppendBatch): PendingLook | undefined {
    return holdMs ? this.#pendingStart.lookNow() : undefined;
  }

  #toReceipt(rows: readonly TextRow[], look: PendingLook | undefined): AppendReceipt {
    const at = Number(need(rows[0], "a write answers its time")["at"]);
    this.#database.noteAt(at);
    if (typeof rows[0]?.["ids"] !== "string") return { at };
    return { at, added: toAdded(rows, (lowest) => look && this.#pendingStart.found(look, lowest)) };
  }

  /** After the commit: what others may want to know, and what need not be told again. */
  #announce({ news, changed, mails, publishes }: Write): void {
    if (publishes) this.#hints.tell("outbox");
    if (news.length > 0) this.#database.noteDefinitions(startsOf(news));
    if (mails.length > 0) this.#hints.tell("mail");
    const isForOthers =
      news.some(({ start }) => !start.owned) || changed.some(({ change }) => isDueSoon(change));
    if (isForOthers || mails.length > 0) this.#hints.tell("work");
    if (changed.some(({ change }) => isOver(change))) this.#hints.tell("ended");
  }

  #noteDoubt(epoch: number, error: unknown): void {
    if (toSagaError(error, { commits: false }).code === "SAGAZ_COMMIT_IN_DOUBT") this.#inDoubt.add(epoch);
  }
}

/** Makes missing partitions when a write is refused for want of one, and then writes again. */
async function withPartitions<T>(write: () => Promise<T>, makePartitions: () => Promise<void>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!lacksPartition(error)) throw error;
    await makePartitions();
    return write();
  }
}

/** Released for now: whoever has room may go on with it. */
function isDueSoon({ release, finished }: RowChange): boolean {
  return !finished && release !== undefined && release.wakeAt !== null && release.wakeAt <= Date.now();
}

/** Nothing more happens by itself: who waits for the end wants to know. */
function isOver({ finished, status }: RowChange): boolean {
  return finished || status === "parked";
}
