import pg from "pg";
import {
  int4Array,
  textArray,
  timeArray,
  uuidArray,
} from "../../packages/sagaz/src/storage/postgres/binary-arrays.ts";
import { newId, systemChance } from "../../packages/sagaz/src/runtime/system.ts";
import type { Bench, Candidate } from "./bench.ts";
import { mark } from "../counters.ts";
import { ceilingBatches } from "./plan.ts";

/** An event of a real saga, as its journal keeps it. */
interface EventRow {
  readonly type: string;
  readonly step: string | null;
  readonly data: string;
}

const insertSql = `
  INSERT INTO sagaz.saga_events (saga_id, created_at, at, seq, type, step, data)
  SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::int[], $5::text[], $6::text[], $7::text[])`;

/**
 * The database's own ceiling: one connection inserts journal rows in batches of each size into our own partitioned
 * table, every batch one statement and one commit, the next when the last is durable. Nothing else is written: no
 * fence is checked and no saga's row changes, and values travel in the cheapest encoding that we know.
 */
export async function measureCeiling({ plan, server, candidates, samples, progress }: Bench): Promise<void> {
  const candidate = candidates.find(({ description }) => description.name === "sagaz");
  if (candidate === undefined) return;
  for (let round = 0; round < plan.rounds; round += 1) {
    const database = await server.postgres.createDatabase({ name: "ceiling", template: candidate.template });
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const rows = new JournalRows(await journalOfOneSaga(client, candidate, database.url));
    for (const size of ceilingBatches) {
      progress(`round ${round + 1}/${plan.rounds}: the database's ceiling, batches of ${size}`);
      await mark(server);
      const value = await insertFor(client, plan.ceilingMs, () => rows.next(size));
      const subject = { measure: "ceiling_rows_per_s", inFlight: size, system: "postgresql", unit: "1/s" };
      samples.add(subject, value * size);
    }
    await client.end();
    await database.drop();
  }
}

/** Runs one saga and reads what it wrote: rows of any other size would be another ceiling. */
async function journalOfOneSaga(client: pg.Client, { host }: Candidate, url: string): Promise<EventRow[]> {
  await host.call("open", { url, inFlight: 1 });
  await host.call("drive", { inFlight: 1, forMs: 0, fails: false });
  await host.call("close");
  const { rows } = await client.query<EventRow>(
    "SELECT type, step, data FROM sagaz.saga_events ORDER BY seq",
  );
  return rows;
}

/** Batches a second. */
async function insertFor(client: pg.Client, forMs: number, nextBatch: () => unknown[]): Promise<number> {
  const text = insertSql;
  let batches = 0;
  const startedAt = performance.now();
  do {
    await client.query({ name: "insert", text, values: nextBatch() });
    batches += 1;
  } while (performance.now() - startedAt < forMs);
  return (batches / (performance.now() - startedAt)) * 1000;
}

/** The rows of saga after saga, without an end: single rows and large batches write the same. */
class JournalRows {
  readonly #events: readonly EventRow[];
  #written = 0;
  #sagaId = "";
  #createdAt = 0;

  constructor(events: readonly EventRow[]) {
    if (events.length === 0) throw new Error("The saga left no journal to take rows from.");
    this.#events = events;
  }

  next(size: number): unknown[] {
    const sagas: string[] = [];
    const times: number[] = [];
    const seqs: number[] = [];
    const events: EventRow[] = [];
    for (let n = 0; n < size; n += 1) {
      const position = this.#written % this.#events.length;
      if (position === 0) this.#beginSaga();
      sagas.push(this.#sagaId);
      times.push(this.#createdAt);
      seqs.push(position + 1);
      events.push(this.#events[position] as EventRow);
      this.#written += 1;
    }
    return [
      uuidArray(sagas),
      timeArray(times),
      timeArray(times),
      int4Array(seqs),
      textArray(events.map(({ type }) => type)),
      textArray(events.map(({ step }) => step)),
      textArray(events.map(({ data }) => data)),
    ];
  }

  #beginSaga(): void {
    this.#createdAt = Date.now();
    this.#sagaId = newId(this.#createdAt, systemChance);
  }
}
