import { randomUUID } from "node:crypto";
import pg from "pg";
import { Outbox, type OutboxEvent } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { fromPg } from "sagaz/transactions";
import { waitUntil } from "../../../tools/servers/wait-until.ts";

/** The payload of an event. */
export interface EventBody {
  readonly key: string;
  readonly version: number;
}

/** What each transaction writes. */
interface Each {
  /** Events of each transaction. Default 1 to 3. */
  readonly eventsEach?: number;
  /** Of every so many transactions the first event is poison. Default: none. */
  readonly poisonEvery?: number;
}

/** What is to be written. */
export interface Production extends Each {
  readonly transactions: number;
}

/** What has been written so far. */
export interface Written {
  /** Transactions whose commit was answered. */
  committed: number;
  rolledBack: number;
  /** Transactions that broke, whether before or after they had committed. */
  broken: number;
  /** Transactions that were held open until others, with higher ids, had committed. */
  overtaken: number;
}

export const poisonType = "order.poisoned";
const keys = Array.from({ length: 40 }, (_, n) => `order ${n}`);
const writersAtOnce = 8;
/** Of so many transactions one rolls back after it has added its events, one is held open. */
const rollBackEvery = 9;
const holdEvery = 23;
/** A held transaction waits for so many others, or so long: they may wait for its lock. */
const overtakers = 20;
const holdMsMax = 400;

/** Applications that write events: each transaction locks what it is about, raises its version, and tells the outbox. */
export class Producers {
  readonly written: Written = { committed: 0, rolledBack: 0, broken: 0, overtaken: 0 };
  readonly #pool: pg.Pool;
  readonly #storage: PostgreSQLStorage;
  readonly #outbox: Outbox;
  readonly #topic: string;
  #number = 0;

  constructor({ databaseUrl, topic }: { readonly databaseUrl: string; readonly topic: string }) {
    this.#topic = topic;
    this.#pool = new pg.Pool({
      connectionString: databaseUrl,
      application_name: "producers",
      max: writersAtOnce + 8,
      connectionTimeoutMillis: 2_000,
      query_timeout: 5_000,
    });
    this.#pool.on("error", () => {}); // a server that is killed breaks idle connections too
    this.#storage = new PostgreSQLStorage({ pool: this.#pool });
    this.#outbox = new Outbox({ storage: this.#storage, source: "town" });
  }

  /** Makes the tables, the library's and those of `town.sql`. */
  async start(townSql: string): Promise<void> {
    await this.#storage.start();
    await this.#pool.query(townSql);
    await this.#pool.query("insert into town.aggregates select k, 0 from unnest($1::text[]) k", [keys]);
  }

  /** Runs so many transactions, several at a time; a broken one is not done again. */
  async write(production: Production): Promise<void> {
    let left = production.transactions;
    await this.writeWhile(() => left-- > 0, production);
  }

  /** Runs transactions, several at a time, while there is cause to. Answers when the last has ended. */
  async writeWhile(isToWrite: () => boolean, each: Each = {}): Promise<void> {
    const writers = Array.from({ length: writersAtOnce }, async () => {
      while (isToWrite()) await this.#transact(++this.#number, each);
    });
    await Promise.all(writers);
  }

  async #transact(n: number, each: Each): Promise<void> {
    try {
      await this.#attempt(n, each);
    } catch {
      this.written.broken += 1;
      const answers = () =>
        this.#pool.query("select 1").then(
          () => true,
          () => false,
        );
      await waitUntil("the database answers the producers", answers, { withinMs: 30_000, everyMs: 20 });
    }
  }

  async #attempt(n: number, { eventsEach = 1 + (n % 3), poisonEvery = Infinity }: Each): Promise<void> {
    const client = await this.#pool.connect();
    const onError = () => {};
    client.on("error", onError);
    let isWhole = false;
    try {
      await client.query("begin");
      const events = await raise(client, {
        key: keys[(n * 7) % keys.length]!,
        count: eventsEach,
        isPoisoned: n % poisonEvery === 0,
      });
      const topic = this.#topic;
      await this.#outbox.add(
        fromPg(client),
        events.map((event) => ({ topic, ...event })),
      );
      if (n % holdEvery === 0) await this.#hold();
      const rollsBack = n % rollBackEvery === 0;
      await client.query(rollsBack ? "rollback" : "commit");
      this.written[rollsBack ? "rolledBack" : "committed"] += 1;
      isWhole = true;
    } finally {
      client.removeListener("error", onError);
      client.release(!isWhole);
    }
  }

  async #hold(): Promise<void> {
    const { committed: before } = this.written;
    const until = performance.now() + holdMsMax;
    const isOvertaken = () => this.written.committed >= before + overtakers;
    await waitUntil("others have committed", () => isOvertaken() || performance.now() > until);
    if (isOvertaken()) this.written.overtaken += 1;
  }

  async stop(): Promise<void> {
    await this.#storage.stop();
    await this.#pool.end();
  }
}

/** Locks what the events are about, raises its version by one for each, and notes them as facts. */
async function raise(
  client: pg.PoolClient,
  about: { readonly key: string; readonly count: number; readonly isPoisoned: boolean },
): Promise<Omit<OutboxEvent, "topic">[]> {
  const { key, count, isPoisoned } = about;
  const ids = Array.from({ length: count }, () => randomUUID());
  const { rows } = await client.query<{ event_id: string; version: number; is_poison: boolean }>(
    `with raised as (update town.aggregates set version = version + $2 where key = $1 returning version)
       insert into town.facts (event_id, key, version, is_poison)
         select e.id, $1, r.version - $2 + e.n, $4 and e.n = 1
           from raised r, unnest($3::text[]) with ordinality e(id, n)
         returning event_id, version, is_poison`,
    [key, count, ids, isPoisoned],
  );
  return rows.map(({ event_id: id, version, is_poison }) => {
    const payload: EventBody = { key, version };
    return { type: is_poison ? poisonType : "order.changed", key, id, payload };
  });
}
