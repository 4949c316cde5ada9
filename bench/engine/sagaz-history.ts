import pg from "pg";

const chunkSagas = 50_000;

/** Columns that differ from copy to copy; all others are the model's. */
const times = ["created_at", "at", "updated_at", "finished_at"];

/**
 * Copies the one finished saga of a database until there are `sagas` of them, as a busy month would have left them:
 * all in the partition that new sagas go to, with ids in the order of their times.
 */
export async function copyTheOnlySaga(url: string, sagas: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    // Filling is not measured, and the checkpoint before every part makes it durable.
    await client.query("SET synchronous_commit = off");
    await client.query("CREATE TEMP TABLE model_executions AS SELECT * FROM sagaz.saga_executions");
    await client.query("CREATE TEMP TABLE model_events AS SELECT * FROM sagaz.saga_events");
    const copyStatements = [await copySql(client, "executions"), await copySql(client, "events")];
    for (let from = 1; from < sagas; from += chunkSagas) {
      const to = Math.min(from + chunkSagas, sagas) - 1;
      for (const sql of copyStatements) await client.query(sql, [from, to, sagas]);
    }
  } finally {
    await client.end();
  }
}

/** Copies number $1 to $2 of $3: their times are spread over the month so far, their ids are UUIDv7 of these times. */
async function copySql(client: pg.Client, table: "executions" | "events"): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
     WHERE attrelid = 'model_${table}'::regclass AND attnum > 0 ORDER BY attnum`,
  );
  const columns = rows.map(({ name }) => name);
  const values = columns.map((name) => {
    if (name === "saga_id") return "copy.id";
    return times.includes(name) ? `CASE WHEN model.${name} IS NOT NULL THEN copy.at END` : `model.${name}`;
  });
  return `
    INSERT INTO sagaz.saga_${table} (${columns.join(", ")})
    SELECT ${values.join(", ")}
    FROM (
      SELECT n, to_timestamp(ms / 1000.0) AS at,
             (substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(chance, 1, 3) || '-8' ||
              substr(chance, 4, 3) || '-' || substr(chance, 7, 12))::uuid AS id
      FROM (
        SELECT n, ms, lpad(to_hex(ms), 12, '0') AS hex, md5(n::text) AS chance
        FROM generate_series($1::int, $2::int) AS n,
             LATERAL (SELECT (extract(epoch FROM month) * 1000)::bigint
                             + ((extract(epoch FROM now() - month) * 1000)::bigint * n / $3::int) AS ms
                      FROM date_trunc('month', now(), 'UTC') AS month) AS moment
      ) AS drawn
    ) AS copy CROSS JOIN model_${table} AS model
    ORDER BY copy.n${table === "events" ? ", model.seq" : ""}`;
}
