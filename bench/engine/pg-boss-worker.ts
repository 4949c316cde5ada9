import pg from "pg";
import type PgBoss from "pg-boss";
import { stages, type Next, type Parcel, type Queue } from "./pg-boss-stages.ts";

/** How long a worker naps when its queue is empty and nobody wakes it: the lowest interval pg-boss knows. */
const pollingMs = 500;

/** One job done: what it carried and what follows. */
export interface Done {
  readonly parcel: Parcel;
  readonly next: Next;
}

/** What a worker needs. */
export interface WorkerOptions {
  readonly boss: PgBoss;
  readonly url: string;
  readonly queue: Queue;
  readonly batchSize: number;
  /** Called when a batch is committed. */
  readonly onDone: (done: readonly Done[]) => void;
}

/** The array form as it is implemented: pg-boss's own types leave out the third argument. */
type CompleteMany = (
  ...args: [queue: string, ids: string[], output: object | null, options: { db: PgBoss.Db }]
) => Promise<void>;

/**
 * Works one queue in batches on a connection of its own: fetch, run, then complete the batch and insert the jobs
 * that follow in one transaction. A crash in between loses nothing: the jobs expire and come again.
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #client: pg.Client;
  readonly #db: PgBoss.Db;
  #isStopping = false;
  #wasWoken = false;
  #wakeUp: (() => void) | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions) {
    this.#options = options;
    // Pipelined: BEGIN, insert, complete and COMMIT travel together, so a transaction costs one round trip.
    this.#client = new pg.Client({ connectionString: options.url, pipeline: true });
    this.#db = { executeSql: (text, values) => this.#client.query(text, values) };
  }

  async start(): Promise<void> {
    await this.#client.connect();
    this.#loop = this.#work();
  }

  /** There is a new job: fetch at once instead of napping. */
  wake(): void {
    this.#wasWoken = true;
    this.#wakeUp?.();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#wakeUp?.();
    await this.#loop;
    await this.#client.end();
  }

  async #work(): Promise<void> {
    const { boss, queue, batchSize } = this.#options;
    while (!this.#isStopping) {
      this.#wasWoken = false;
      const jobs = await boss.fetch<Parcel>(queue, { batchSize, priority: false, db: this.#db });
      if (jobs.length > 0) await this.#handle(jobs);
      else if (!this.#wasWoken) await this.#nap();
    }
  }

  async #handle(jobs: readonly PgBoss.Job<Parcel>[]): Promise<void> {
    const { boss, queue, onDone } = this.#options;
    const done = await Promise.all(
      jobs.map(async ({ data }) => ({ parcel: data, next: await stages[queue](data) })),
    );
    const following = done.flatMap(({ next }) =>
      "queue" in next ? [{ name: next.queue, data: next.parcel }] : [],
    );
    const ids = jobs.map(({ id }) => id);
    await Promise.all([
      this.#client.query("BEGIN"),
      following.length > 0 ? boss.insert(following, { db: this.#db }) : undefined,
      (boss.complete as unknown as CompleteMany)(queue, ids, null, { db: this.#db }),
      this.#client.query("COMMIT"),
    ]);
    onDone(done);
  }

  async #nap(): Promise<void> {
    if (this.#isStopping) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pollingMs);
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakeUp = undefined;
  }
}
