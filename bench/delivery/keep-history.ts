import pg from "pg";

const chunk = 100_000;

/**
 * Copies a sent event of a database until so many more are kept, as a busy day would have left them: all in the partition
 * that new events go to, in the order of their times.
 */
export async function keepHistory(url: string, events: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    // Filling is not measured, and the checkpoint before every part makes it durable.
    await client.query("SET synchronous_commit = off");
    await client.query("CREATE TEMP TABLE model AS SELECT * FROM sagaz.saga_outbox LIMIT 1");
    const { rows } = await client.query<{ name: string }>(
      "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'model'::regclass AND attnum > 0 ORDER BY attnum",
    );
    const columns = rows.map(({ name }) => name).filter((name) => name !== "id");
    const values = columns.map((name) => copied[name] ?? `model.${name}`);
    const sql = `
      INSERT INTO sagaz.saga_outbox (${columns.join(", ")})
      SELECT ${values.join(", ")} FROM generate_series($1::int, $2::int) AS n CROSS JOIN model ORDER BY n`;
    for (let from = 0; from < events; from += chunk)
      await client.query(sql, [from, Math.min(from + chunk, events) - 1]);
    await client.query("VACUUM ANALYZE");
  } finally {
    await client.end();
  }
}

/** Columns that differ from copy to copy; all others are the model's. */
const copied: Readonly<Record<string, string>> = {
  event_id: "gen_random_uuid()::text",
  partition_key: "'order-' || n % 10000",
  created_at: "clock_timestamp()",
};
