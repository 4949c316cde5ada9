import type { SqlRunner } from "../../core/definition/context.ts";
import type { ParticipantEffect, ParticipantStorage } from "../../ports/participants.ts";
import type { Database } from "./database.ts";
import { toSagaError } from "./errors.ts";

/** What participants remember of what they were asked for. */
export class PostgresParticipants implements ParticipantStorage {
  readonly #database: Database;

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  async take(tx: SqlRunner, { participant, effect }: ParticipantEffect): Promise<string | null> {
    const { sql } = this.#database;
    const [row] = await run(tx, sql.takeEffect, [participant, effect, this.#database.now()]);
    const [standing] = Object.values(row ?? {});
    return standing === "" ? null : String(standing);
  }

  async keep(tx: SqlRunner, { participant, effect }: ParticipantEffect, standing: string): Promise<void> {
    await run(tx, this.#database.sql.keepEffect, [participant, effect, standing]);
  }
}

async function run(tx: SqlRunner, text: string, values: readonly unknown[]): ReturnType<SqlRunner> {
  try {
    return await tx(text, values);
  } catch (error) {
    // Whatever went wrong, it is in the caller's transaction: nothing of ours was committed.
    throw toSagaError(error, { commits: false });
  }
}
