import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";

/** The part of a `pg` pool that a transaction needs, by structure. */
export interface TransactionPool {
  connect(): Promise<TransactionConnection>;
}

/** A checked-out `pg` connection. */
export interface TransactionConnection {
  query(text: string, values?: unknown[]): Promise<TransactionAnswer>;
  /** Gives it back; with true it is closed instead. */
  release(destroy?: boolean): void;
  /** `I` while no transaction is open. Older versions of `pg` do not tell. */
  getTransactionStatus?(): string | null;
}

/** What a statement answers. Of several in one text `pg` answers a list of these. */
export interface TransactionAnswer {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly command?: string;
}

/** What is to be done with the commit, in one round trip. */
export interface Ending {
  /** Statements without parameters; empty: nothing. */
  readonly text: string;
  /** Called with their rows, once it has committed. It must not throw: who hears of an error takes it for a rollback. */
  readonly committed: (rows: TransactionAnswer["rows"]) => void;
}

/**
 * Runs work between BEGIN and COMMIT, and at its end, with the commit, what `end` asks for; what either throws rolls back. A
 * connection that does not even roll back is closed, and with it its transaction.
 */
export async function inTransaction<T>(
  pool: TransactionPool,
  work: (tx: SqlRunner) => T | Promise<T>,
  end: () => Ending,
): Promise<T> {
  const connection = await pool.connect();
  let isBroken = false;
  let isOver = false;
  const run: SqlRunner = async (sql, params = []) => {
    // The connection serves others by then.
    if (isOver) throw new SagaError("SAGAZ_CALL_SETTLED", { whose: "a transaction" });
    mustBeOpen(connection);
    return (await connection.query(sql, [...params])).rows;
  };
  try {
    await connection.query("begin");
    const result = await work(run);
    isOver = true;
    mustBeOpen(connection);
    const { text, committed } = end();
    const answers = toList(await connection.query(text === "" ? "commit" : `${text}; commit`));
    // After a failed statement the server answers COMMIT with ROLLBACK.
    if (answers.at(-1)?.command === "ROLLBACK") throw new Error(aborted);
    committed(answers.slice(0, -1).flatMap(({ rows }) => rows));
    return result;
  } catch (error) {
    await connection.query("rollback").catch(() => {
      isBroken = true;
    });
    // The same, said by the statement that came before the commit.
    if ((error as { code?: unknown } | null)?.code === "25P02") throw new Error(aborted, { cause: error });
    throw error;
  } finally {
    isOver = true;
    connection.release(isBroken);
  }
}

/** What came after its end would commit by itself, and the events with it. */
function mustBeOpen(connection: TransactionConnection): void {
  if (connection.getTransactionStatus?.() !== "I") return;
  throw new SagaError("SAGAZ_NOT_A_TRANSACTION", {
    adapter: "Outbox.transaction",
    value: "work that has ended the transaction itself",
    advice: "Throw to roll back; return to commit",
  });
}

const aborted = "the transaction was rolled back, because a statement in it had failed";

function toList(answer: TransactionAnswer | readonly TransactionAnswer[]): readonly TransactionAnswer[] {
  return Array.isArray(answer) ? (answer as readonly TransactionAnswer[]) : [answer as TransactionAnswer];
}
