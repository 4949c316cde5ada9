import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";
import { must, need } from "../../core/must.ts";
import type { InboxAnswer, InboxRequest, InboxStorage, InboxWork } from "../../ports/inbox.ts";
import { textArray } from "./binary-arrays.ts";
import { commit, rollBack } from "./connection.ts";
import type { OpenConnection } from "./connection.ts";
import type { Database } from "./database.ts";
import { toSagaError } from "./errors.ts";
import { toArrayText, withLiterals } from "./literals.ts";
import type { Literal } from "./literals.ts";
import type { Sql } from "./render-sql.ts";
import { openRunner } from "./sql-runner.ts";

/** No setting of PostgreSQL's is larger. */
const settingMax = 2_147_483_647;

/** Runs a statement of ours inside the transaction, and answers its rows. */
type Run = (text: string, values: readonly unknown[]) => Promise<readonly Row[]>;

type Row = Readonly<Record<string, unknown>>;

/** The transaction that messages are noted in. */
interface Noting {
  readonly request: InboxRequest;
  /** What noting them answered: those that are new, and perhaps others. */
  readonly noted: readonly Known[];
  readonly run: Run;
}

/** What is known of a message: its columns, by place. */
type Known = readonly [eventId: string, became: "new" | "known", result: string | null];

/** What consumers have processed. */
export class PostgresInbox implements InboxStorage {
  readonly #database: Database;

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  process(
    request: InboxRequest & { readonly idleMsMax: number },
    work: InboxWork,
  ): Promise<readonly InboxAnswer[]> {
    const idleMsMax = Math.min(Math.ceil(request.idleMsMax), settingMax);
    const begin = `begin; ${withLiterals(this.#database.sql.boundTransaction, [idleMsMax])}`;
    return this.#database.transactions.pass(() =>
      this.#database.borrow(async (connection) => {
        const runner = openRunner(connection, "a handler");
        const run: Run = (text, values) => connection.run({ text, values }, { commits: false });
        let answers: readonly InboxAnswer[];
        try {
          const note = withLiterals(...this.#toNote(request));
          const rows = await connection.runLast(`${begin}; ${note}`, { commits: false });
          const noted = request.messages.length === 1 ? rows.map(toKnown) : toNew(rows);
          answers = await processNoted(this.#database.sql, { request, noted, run }, (fresh) =>
            work(runner.tx, fresh),
          );
          runner.mustBeWhole();
        } catch (error) {
          runner.close();
          throw await rolledBack(connection, error);
        }
        runner.close();
        await commit(connection);
        return answers;
      }),
    );
  }

  async processIn(tx: SqlRunner, request: InboxRequest, work: InboxWork): Promise<readonly InboxAnswer[]> {
    must(request.messages.length === 1, "one message at a time in a transaction of the caller's");
    const run: Run = async (text, values) => {
      try {
        return await tx(text, values);
      } catch (error) {
        // Whatever went wrong, it is in the caller's transaction: nothing of ours was committed.
        throw toSagaError(error, { commits: false });
      }
    };
    const noted = (await run(...this.#toNote(request))).map(toKnown);
    return processNoted(this.#database.sql, { request, noted, run }, (fresh) => work(tx, fresh));
  }

  /** Notes first: whoever comes second waits here until the first has committed, or given up. */
  #toNote({ consumerName, messages }: InboxRequest): [text: string, values: readonly Literal[]] {
    const { sql } = this.#database;
    const now = this.#database.now();
    const [first, second] = messages;
    if (first && !second) {
      const { eventId, sourceTopic, eventType } = first;
      return [sql.noteOneProcessed, [consumerName, eventId, sourceTopic, eventType, now]];
    }
    const columns = [
      messages.map(({ eventId }) => eventId),
      messages.map(({ sourceTopic }) => sourceTopic),
      messages.map(({ eventType }) => eventType),
    ];
    return [sql.noteProcessed, [consumerName, ...columns.map(toArrayText), now]];
  }
}

async function processNoted(
  sql: Sql,
  noting: Noting,
  work: (fresh: readonly number[]) => Promise<readonly (string | null)[]>,
): Promise<readonly InboxAnswer[]> {
  const { messages } = noting.request;
  const known = new Map(noting.noted.map((one) => [one[0], one]));
  const results = new Map<string, string | null>();
  const fresh = [...messages.keys()].filter((n) => known.get(messages[n]?.eventId ?? "")?.[1] === "new");
  const worked = fresh.length === 0 ? [] : await work(fresh);
  must(worked.length === fresh.length, "each new message has a result");
  for (const [place, n] of fresh.entries())
    results.set(need(messages[n], "it is a place of the list").eventId, worked[place] ?? null);
  await keep(sql, noting, results);
  const unknown = messages.filter(({ eventId }) => !known.has(eventId)).map(({ eventId }) => eventId);
  if (unknown.length > 0) {
    // Of several only those that are new were answered.
    const rows = await noting.run(sql.keptResults, [noting.request.consumerName, textArray(unknown)]);
    for (const one of rows.map(toKnown)) known.set(one[0], one);
  }
  return messages.map(({ eventId }) => {
    const result = results.get(eventId);
    if (result !== undefined) return { isDuplicate: false, result };
    return { isDuplicate: true, result: known.get(eventId)?.[2] ?? null };
  });
}

/** Most handlers return nothing: then there is nothing to write. */
async function keep(
  sql: Sql,
  { request: { consumerName, messages }, run }: Noting,
  results: ReadonlyMap<string, string | null>,
): Promise<void> {
  const kept = [...results].filter(([, result]) => result !== null) as [string, string][];
  const [first] = kept;
  if (!first) return;
  if (messages.length === 1) await run(sql.keepResult, [consumerName, ...first]);
  else
    await run(sql.keepResults, [
      consumerName,
      textArray(kept.map(([id]) => id)),
      textArray(kept.map(([, result]) => result)),
    ]);
}

/** By their places: what a library of the user's makes of a column's name, camel case say, is not ours to know. */
function toKnown(row: Row): Known {
  return Object.values(row) as unknown as Known;
}

/** The answer for several messages: one list of ids, or null. */
function toNew([row]: readonly Row[]): readonly Known[] {
  const ids = JSON.parse((row?.["ids"] as string | null | undefined) ?? "[]") as string[];
  return ids.map((id) => [id, "new", null]);
}

/** A handler that failed because the connection did is no handler that failed. */
async function rolledBack(connection: OpenConnection, error: unknown): Promise<unknown> {
  const isLost = !connection.isUsable;
  await rollBack(connection);
  if (!isLost || error instanceof SagaError) return error;
  return toSagaError(error, { commits: false });
}
