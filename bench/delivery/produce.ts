import pg from "pg";
import { Outbox } from "sagaz";
import { newEvent } from "./events.ts";
import { clients } from "./plan.ts";
import { toRunner, withStorage } from "./sagaz-relay.ts";

/** Business transactions for a while: each changes a row, and with `adds` says so in an event. */
export interface ProduceTask {
  readonly url: string;
  readonly adds: boolean;
  readonly forMs: number;
}

const accounts = 10_000;

/** Creates the table of the business. */
export const accountsSql: readonly string[] = [
  "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL) WITH (fillfactor = 50)",
  `INSERT INTO accounts SELECT n, 0 FROM generate_series(1, ${accounts}) AS n`,
  "VACUUM ANALYZE accounts",
];

/** Runs transactions one after another on 16 connections, and tells how many a second. */
export function produce({ url, adds, forMs }: ProduceTask): Promise<number> {
  return withStorage(url, async ({ storage }) => {
    const outbox = new Outbox({ storage, source: "/bench" });
    const connections = await Promise.all(Array.from({ length: clients }, () => openClient(url)));
    let transactions = 0;
    const startedAt = performance.now();
    const caller = async (client: pg.Client) => {
      const tx = toRunner(client);
      while (performance.now() - startedAt < forMs) {
        await client.query("BEGIN");
        const id = 1 + Math.floor(Math.random() * accounts);
        await client.query("UPDATE accounts SET balance = balance + 1 WHERE id = $1", [id]);
        if (adds) await outbox.add(tx, newEvent(id));
        await client.query("COMMIT");
        transactions += 1;
      }
    };
    await Promise.all(connections.map(caller));
    const elapsedMs = performance.now() - startedAt;
    await Promise.all(connections.map((client) => client.end()));
    return (transactions / elapsedMs) * 1000;
  });
}

async function openClient(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
