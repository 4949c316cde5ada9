import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";
import { must, need } from "../../core/must.ts";
import type { InboxAnswer, InboxRequest, InboxStorage, InboxWork } from "../../ports/inbox.ts";
import { textArray } from "./binary-arrays.ts";
import { commit, rollBack } from "./connection.ts";
import type { OpenConnection } from "./connection.ts";
import type { Database } from "./database.ts";
import { toSagaError } from "./errors.ts";
import { openRunner } from "./sql-runner.ts";

/** No setting of PostgreSQL's is larger. */
const settingMax = 2_147_483_647;

/** Runs a statement of ours inside the transaction, and answers its rows. */
type Run = (
  text: string,
  values: readonly unknown[],
) => Promise<readonly Readonly<Record<string, unknown>>[]>;

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
    return this.#database.transactions.pass(() =>
      this.#database.borrow(async (connection) => {
        // Else the server would wait for who is frozen or cut off, and the others of its name for the notes it holds.
        const begin = `begin; set local idle_in_transaction_session_timeout = ${idleMsMax}`;
        await connection.run({ text: begin }, { commits: false });
        const runner = openRunner(connection);
        const run: Run = (text, values) => connection.run({ text, values }, { commits: false });
        let answers: readonly InboxAnswer[];
        try {
          answers = await this.#processWith(run, request, (fresh) => work(runner.tx, fresh));
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
    return this.#processWith(run, request, (fresh) => work(tx, fresh));
  }

  /** Notes first: whoever comes second waits here until the first has committed, or given up. */
  async #processWith(
    run: Run,
    request: InboxRequest,
    work: (fresh: readonly number[]) => Promise<readonly (string | null)[]>,
  ): Promise<readonly InboxAnswer[]> {
    const { messages } = request;
    const noted = new Set((await this.#note(run, request)).map((row) => toValues(row)[0]));
    const places = messages.map((_, n) => n);
    const fresh = places.filter((n) => noted.has(messages[n]?.eventId));
    const results = fresh.length === 0 ? [] : await work(fresh);
    must(results.length === fresh.length, "each new message has a result");
    await this.#keep(run, request, new Map(fresh.map((n, place) => [n, results[place] ?? null])));
    const known = fresh.length === messages.length ? undefined : await this.#known(run, request);
    const answers = new Map(
      fresh.map((n, place) => [n, { isDuplicate: false, result: results[place] ?? null }]),
    );
    return places.map((n) => {
      const { eventId } = need(messages[n], "it is a place of the list");
      return answers.get(n) ?? { isDuplicate: true, result: known?.get(eventId) ?? null };
    });
  }

  #note(run: Run, { consumerName, messages }: InboxRequest): ReturnType<Run> {
    const { sql } = this.#database;
    const now = this.#database.now();
    const [first, second] = messages;
    if (first && !second)
      return run(sql.noteOneProcessed, [
        consumerName,
        first.eventId,
        first.sourceTopic,
        first.eventType,
        now,
      ]);
    return run(sql.noteProcessed, [
      consumerName,
      textArray(messages.map(({ eventId }) => eventId)),
      textArray(messages.map(({ sourceTopic }) => sourceTopic)),
      textArray(messages.map(({ eventType }) => eventType)),
      now,
    ]);
  }

  /** Most handlers return nothing: then there is nothing to write. */
  async #keep(
    run: Run,
    { consumerName, messages }: InboxRequest,
    results: ReadonlyMap<number, string | null>,
  ): Promise<void> {
    const { sql } = this.#database;
    const ids: string[] = [];
    const texts: string[] = [];
    for (const [n, result] of results) {
      if (result === null) continue;
      ids.push(need(messages[n], "it is a place of the list").eventId);
      texts.push(result);
    }
    if (ids.length === 0) return;
    if (messages.length === 1) await run(sql.keepResult, [consumerName, ids[0], texts[0]]);
    else await run(sql.keepResults, [consumerName, textArray(ids), textArray(texts)]);
  }

  async #known(
    run: Run,
    { consumerName, messages }: InboxRequest,
  ): Promise<ReadonlyMap<string, string | null>> {
    const { sql } = this.#database;
    const ids = messages.map(({ eventId }) => eventId);
    const rows =
      ids.length === 1
        ? await run(sql.keptResult, [consumerName, ids[0]])
        : await run(sql.keptResults, [consumerName, textArray(ids)]);
    return new Map(rows.map(toValues) as [eventId: string, result: string | null][]);
  }
}

/** By their places: what a library of the user's makes of a column's name, camel case say, is not ours to know. */
function toValues(row: Readonly<Record<string, unknown>>): readonly unknown[] {
  return Object.values(row);
}

/** A handler that failed because the connection did is no handler that failed. */
async function rolledBack(connection: OpenConnection, error: unknown): Promise<unknown> {
  const isLost = !connection.isUsable;
  await rollBack(connection);
  if (!isLost || error instanceof SagaError) return error;
  return toSagaError(error, { commits: false });
}
