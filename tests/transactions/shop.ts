import { randomUUID } from "node:crypto";
import pg from "pg";
import type { SqlRunner } from "../../packages/sagaz/src/core/definition/context.ts";
import { ClassicSaga } from "../../packages/sagaz/src/runtime/classic-saga.ts";
import { ConsumerInbox } from "../../packages/sagaz/src/runtime/delivery/consumer-inbox.ts";
import { Outbox } from "../../packages/sagaz/src/runtime/delivery/outbox.ts";
import { SagaOrchestrator } from "../../packages/sagaz/src/runtime/orchestrator.ts";
import { PostgreSQLStorage } from "../../packages/sagaz/src/storage/postgres/index.ts";
import { createDatabase, type TestDatabase } from "../../tools/servers/postgres-databases.ts";

/** A row of the user's, in the table `orders`. */
export interface Order {
  readonly id: string;
  readonly note: string;
}

/** A transaction of a library, as its callback sees it. */
export interface OpenTransaction {
  /** What the adapter made of it. */
  readonly tx: SqlRunner;
  /** Inserts the order as the library's users do. */
  place(order: Order): Promise<unknown>;
}

/** A library that holds transactions, connected to the shop's database. */
export interface LibraryUnderTest {
  /** Runs work in one transaction; when the work throws, the library rolls back and throws the same. */
  transaction(work: (t: OpenTransaction) => Promise<void>): Promise<void>;
  /** What is no open transaction, by its name: its adapter is refused, or what is written through it. */
  readonly wrongTurns: Readonly<Record<string, () => Promise<SqlRunner>>>;
}

/** An event as it is stored, with the transaction that wrote its two rows. */
export interface StoredEvent {
  readonly key: string;
  readonly headers: string | null;
  readonly payload: string | null;
  readonly bytes: Buffer | null;
  readonly writer: string;
  readonly pendingWriter: string | null;
}

/** A saga that a user's transaction starts. */
export const orderSaga = new ClassicSaga<{ readonly id: string; readonly note: string }>({
  name: "order",
}).addStep("confirm", ({ input }) => input.note);

/** A user's database, with sagaz in it. */
export class Shop {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly outbox: Outbox;
  readonly inbox: ConsumerInbox;
  readonly orchestrator: SagaOrchestrator;
  readonly #database: TestDatabase;

  private constructor(database: TestDatabase) {
    const pool = new pg.Pool({ connectionString: database.url, max: 8 });
    const storage = new PostgreSQLStorage({ pool });
    this.#database = database;
    this.url = database.url;
    this.pool = pool;
    this.outbox = new Outbox({ storage, source: "shop" });
    this.inbox = new ConsumerInbox({ storage, consumerName: "warehouse" });
    this.orchestrator = new SagaOrchestrator({ storage, sagas: [orderSaga] });
  }

  static async open(serverUrl: string): Promise<Shop> {
    const shop = new Shop(await createDatabase(serverUrl, { name: "shop" }));
    await shop.pool.query("create table orders (id text primary key, note text not null)");
    await shop.orchestrator.start();
    return shop;
  }

  /** An outbox whose tables nobody has made. */
  outboxNowhere(): Outbox {
    return new Outbox({ storage: new PostgreSQLStorage({ pool: this.pool, schema: "nowhere" }) });
  }

  newOrder(note = "two of them"): Order {
    return { id: randomUUID(), note };
  }

  /** The transaction that wrote an order, if there is one. */
  async writerOf({ id }: Order): Promise<string | undefined> {
    const { rows } = await this.pool.query<{ writer: string }>(
      "select xmin::text as writer from orders where id = $1",
      [id],
    );
    return rows[0]?.writer;
  }

  /** The events about an order, in the order in which they will be published. */
  async eventsOf({ id }: Order): Promise<StoredEvent[]> {
    const { rows } = await this.pool.query<StoredEvent>(
      `select o.partition_key as key, o.headers, o.payload, o.payload_bytes as bytes, o.xmin::text as writer,
          p.xmin::text as "pendingWriter"
        from sagaz.saga_outbox o left join sagaz.saga_outbox_pending p on p.id = o.id
        where o.aggregate_id = $1 order by o.id`,
      [id],
    );
    return rows;
  }

  async close(): Promise<void> {
    await this.orchestrator.stop();
    await this.pool.end();
    await this.#database.drop();
  }
}
