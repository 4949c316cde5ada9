import pg from "pg";
import { Outbox, type SqlRunner, type TransactionConnection, type TransactionPool } from "sagaz";
import { newEvent } from "./events.ts";
import { clients } from "./plan.ts";
import { toRunner, withStorage } from "./sagaz-relay.ts";
import { takeTurns, type Way } from "./turns.ts";

/** Business transactions: each changes a row, and with an event it also says so. */
export interface ProduceTask {
  readonly url: string;
  readonly warmMs: number;
  /** How long each way is measured in all, in turns. */
  readonly forMs: number;
}

/** How many transactions a second. */
export interface Produced {
  readonly plain: number;
  /** The event is added in the caller's own transaction, by `Outbox.add`. */
  readonly added: number;
  /** It is written with the commit, by `Outbox.transaction`. */
  readonly withCommit: number;
}

const accounts = 10_000;

/** Creates the table of the business. */
export const accountsSql: readonly string[] = [
  "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL) WITH (fillfactor = 50)",
  `INSERT INTO accounts SELECT n, 0 FROM generate_series(1, ${accounts}) AS n`,
  "VACUUM ANALYZE accounts",
];

/** Runs transactions one after another on 16 connections, with an event and without in turn. */
export function produce({ url, warmMs, forMs }: ProduceTask): Promise<Produced> {
  return withStorage(url, async ({ storage }) => {
    const outbox = new Outbox({ storage, source: "/bench" });
    const connections = await Promise.all(Array.from({ length: clients }, () => openClient(url)));
    const ways = {
      plain: (client) => change(client),
      added: (client) => change(client, (tx, id) => outbox.add(tx, newEvent(id))),
      withCommit: (client) =>
        outbox.transaction(asPool(client), async (tx, add) => add(newEvent(await raise(tx)))),
    } satisfies Record<string, Way<pg.Client>>;
    await takeTurns(ways, connections, warmMs);
    const produced = await takeTurns(ways, connections, forMs);
    await Promise.all(connections.map((client) => client.end()));
    return produced;
  });
}

async function change(client: pg.Client, tell?: (tx: SqlRunner, id: number) => Promise<void>): Promise<void> {
  const tx = toRunner(client);
  await client.query("BEGIN");
  const id = await raise(tx);
  await tell?.(tx, id);
  await client.query("COMMIT");
}

/** The business: one row changes. */
async function raise(tx: SqlRunner): Promise<number> {
  const id = 1 + Math.floor(Math.random() * accounts);
  await tx("UPDATE accounts SET balance = balance + 1 WHERE id = $1", [id]);
  return id;
}

/** One connection that is always free, as it is for the other ways. */
function asPool(client: pg.Client): TransactionPool {
  const query: TransactionConnection["query"] = (text, values) => client.query(text, values);
  return { connect: () => Promise.resolve({ query, release: () => {} }) };
}

async function openClient(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
