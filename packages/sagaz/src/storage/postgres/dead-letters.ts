import { redrivenRow } from "../../core/delivery/redriven-row.ts";
import { shardOf, OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import type {
  ConsumersDeadLetter,
  DeadLetter,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterStorage,
  Redrive,
} from "../../ports/dead-letters.ts";
import { int8Array } from "./binary-arrays.ts";
import type { TextRow } from "./connection.ts";
import { toTime } from "./database.ts";
import type { Database } from "./database.ts";
import type { Hints } from "./hints.ts";
import { toInsert, toParameters } from "./outbox-columns.ts";
import { storable } from "./storable.ts";

/** What could not be published or processed. */
export class PostgresDeadLetters implements DeadLetterStorage {
  readonly #database: Database;
  readonly #hints: Hints;

  constructor(parts: { database: Database; hints: Hints }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
  }

  async bury(letter: ConsumersDeadLetter): Promise<void> {
    const { consumerName, event, createdAt, attempts, code, error, stack } = letter;
    const [, ...columns] = toParameters(event); // without the shard
    const texts = [consumerName, ...columns, toTime(createdAt), attempts, code, error, stack];
    const values = [
      this.#database.now(),
      ...texts.map((text) => (typeof text === "string" ? storable(text) : text)),
    ];
    await this.#database.write({ text: this.#database.sql.buryMessage, values });
  }

  async list({ consumerName, topic, open, limit, after = 0 }: DeadLetterFilter): Promise<DeadLetterPage> {
    const isOfOne = consumerName !== undefined;
    const values = [after, isOfOne, consumerName ?? null, topic ?? null, open ?? null, limit + 1];
    const rows = await this.#database.read({ text: this.#database.sql.listDeadLetters, values });
    const letters = rows.slice(0, limit).map(toLetter);
    return { letters, next: rows.length > limit ? letters.at(-1)?.id : undefined };
  }

  async redrive({ ids, actor }: Redrive): Promise<readonly number[]> {
    const { sql } = this.#database;
    const redriven = await this.#database.transact(async (connection) => {
      const values = [int8Array(ids), this.#database.now(), actor];
      const rows = await connection.run({ text: sql.takeDeadLetters, values }, { commits: false });
      const letters = rows.map(toLetter).sort((a, b) => a.id - b.id);
      if (letters.length > 0) {
        const insert = toInsert(sql, letters.map(redrivenRow), {
          now: this.#database.now(),
          holdMs: null,
        });
        await connection.run(insert, { commits: false });
      }
      return letters.map(({ id }) => id);
    });
    if (redriven.length > 0) this.#hints.tell("outbox");
    return redriven;
  }
}

function toLetter(row: TextRow): DeadLetter {
  const text = (name: string) => row[name] ?? null;
  const time = (name: string) => (text(name) === null ? null : Number(row[name]));
  const bytes = text("payload_bytes");
  const key = String(row["key"]);
  return {
    id: Number(row["id"]),
    consumerName: text("consumer_name"),
    diedAt: Number(row["died"]),
    createdAt: Number(row["created"]),
    attempts: Number(row["attempts"]),
    code: String(row["error_code"]),
    error: String(row["error"]),
    stack: text("stack"),
    redrivenAt: time("redriven"),
    redrivenBy: text("redriven_by"),
    event: {
      eventId: String(row["event_id"]),
      topic: String(row["topic"]),
      key,
      shard: shardOf(key, OUTBOX_SHARDS),
      type: String(row["type"]),
      source: String(row["source"]),
      aggregateType: text("aggregate_type"),
      aggregateId: text("aggregate_id"),
      correlationId: text("correlation_id"),
      sagaId: text("saga_id"),
      traceparent: text("traceparent"),
      headers: text("headers"),
      payload: bytes === null ? String(row["payload"]) : Buffer.from(bytes.slice(2), "hex"),
    },
  };
}
