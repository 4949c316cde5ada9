import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Bench } from "./bench.ts";
import { mark } from "./counters.ts";
import { ceilingBatches } from "./plan.ts";

/** The columns of a batch, as arrays for `unnest`. */
type Batch = readonly (readonly unknown[])[];

const columns = "saga_id, seq, type, step, data, at, created_at";

const insertSql = `
  INSERT INTO saga_events (${columns})
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])`;

/** The events of a three-step saga, with data as long as a real one's. */
const events: readonly { readonly type: string; readonly step: string | null; readonly data: string }[] = [
  {
    type: "saga_started",
    step: null,
    data: '{"orderId":"0","item":"espresso-machine","quantity":2,"amount":499.9}',
  },
  {
    type: "step_done",
    step: "reserve",
    data: '{"reservationId":"r-00000000-0000-4000-8000-000000000000","quantity":2}',
  },
  {
    type: "step_done",
    step: "charge",
    data: '{"paymentId":"p-00000000-0000-4000-8000-000000000000","amount":499.9}',
  },
  { type: "saga_completed", step: "ship", data: '{"shipmentId":"s-00000000-0000-4000-8000-000000000000"}' },
];

/**
 * The database's own ceiling: one connection inserts journal rows in batches of each size, every batch one
 * statement and one commit, the next when the last is durable.
 */
export async function measureCeiling({ plan, server, samples, progress }: Bench): Promise<void> {
  for (let round = 0; round < plan.rounds; round += 1) {
    const database = await server.postgres.createDatabase({ name: "ceiling" });
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await createJournal(client);
    for (const rows of ceilingBatches) {
      progress(`round ${round + 1}/${plan.rounds}: the database's ceiling, batches of ${rows}`);
      await mark(server);
      const perSecond = await insertFor(client, rows, plan.ceilingMs);
      samples.add(
        { measure: "ceiling_rows_per_s", inFlight: rows, system: "postgresql", unit: "1/s" },
        perSecond,
      );
    }
    await client.end();
    await database.drop();
  }
}

const month = (offset: number) => `date_trunc('month', now()) + interval '${offset} month'`;

async function createJournal(client: pg.Client): Promise<void> {
  await client.query(`
    CREATE TABLE saga_events (
      saga_id uuid NOT NULL, seq int NOT NULL, type text NOT NULL, step text, data text,
      at timestamptz NOT NULL, created_at timestamptz NOT NULL,
      PRIMARY KEY (saga_id, seq, created_at)
    ) PARTITION BY RANGE (created_at)`);
  for (const offset of [-1, 0, 1]) {
    await client.query(`
      DO $$ BEGIN EXECUTE format(
        'CREATE TABLE saga_events_%s PARTITION OF saga_events FOR VALUES FROM (%L) TO (%L)',
        to_char(${month(offset)}, 'YYYYMM'), ${month(offset)}, ${month(offset + 1)});
      END $$`);
  }
}

async function insertFor(client: pg.Client, rowsInBatch: number, forMs: number): Promise<number> {
  await client.query(insertSql, [...nextBatch(rowsInBatch)]);
  let rows = 0;
  const startedAt = performance.now();
  while (performance.now() - startedAt < forMs) {
    await client.query({
      name: `insert_${rowsInBatch}`,
      text: insertSql,
      values: [...nextBatch(rowsInBatch)],
    });
    rows += rowsInBatch;
  }
  return (rows / (performance.now() - startedAt)) * 1000;
}

let sagaId = "";
let seq = 0;

/** The next rows of an endless row of sagas, so that single rows and large batches write the same. */
function nextBatch(rows: number): Batch {
  const batch: unknown[][] = [[], [], [], [], [], [], []];
  const now = new Date();
  for (let n = 0; n < rows; n += 1) {
    const position = seq % events.length;
    if (position === 0) sagaId = toUuidV7(now.getTime());
    const event = events[position];
    [sagaId, position + 1, event?.type, event?.step, event?.data, now, now].forEach((value, column) =>
      batch[column]?.push(value),
    );
    seq += 1;
  }
  return batch;
}

/** Ids that grow with time, as ours do: random ones would spread over the whole index and cost more. */
function toUuidV7(ms: number): string {
  const time = ms.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
