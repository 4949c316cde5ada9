import { readFileSync } from "node:fs";
import pg from "pg";
import { inject } from "vitest";
import { SagaOrchestrator, type Sagaish, type SagaDefinition } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { createDatabase } from "../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import { orderSaga, type Order } from "./order-saga.ts";
import { Shop } from "./shop.ts";
import { WorkerProcess, type WorkerOptions } from "./worker-process.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** An order whose saga has been started. */
export interface PlacedOrder extends Order {
  readonly sagaId: string;
}

/** A database of its own with a shop on it, an office that starts sagas and runs none, and worker processes. */
export class Town implements AsyncDisposable {
  readonly url: string;
  readonly office: SagaOrchestrator;
  readonly placed: PlacedOrder[] = [];
  readonly #pool: pg.Pool;
  readonly #shop: Shop;
  readonly #order: SagaDefinition<Order>;
  readonly #workers: WorkerProcess[] = [];

  private constructor(url: string, others: readonly Sagaish[]) {
    this.url = url;
    this.#pool = new pg.Pool({ connectionString: url, application_name: "office" });
    this.#pool.on("error", () => {}); // a server that is killed breaks idle connections too
    this.#shop = new Shop(url, "office");
    this.#order = orderSaga(this.#shop);
    this.office = new SagaOrchestrator({
      storage: new PostgreSQLStorage({ pool: this.#pool, writeTimeoutMs: 2_000, connectTimeoutMs: 1_000 }),
      sagas: [this.#order, ...others],
      workerName: "office",
      sagasInFlightMax: 0,
      log: quiet,
    });
  }

  /** Opens a town on a server. */
  static async open(serverUrl: string, others: readonly Sagaish[] = []): Promise<Town> {
    const { url } = await createDatabase(serverUrl, { name: "town" });
    const town = new Town(url, others);
    await town.sql(readFileSync(new URL("shop.sql", import.meta.url), "utf8"));
    await town.office.start();
    return town;
  }

  /** Starts a worker process; await its `ready()`. */
  worker(options: Omit<WorkerOptions, "engineUrl"> & { readonly engineUrl?: string }): WorkerProcess {
    const worker = new WorkerProcess(inject("programs").worker, { engineUrl: this.url, ...options });
    this.#workers.push(worker);
    return worker;
  }

  /** Places so many orders; every third has no carrier and will be undone. Every other start has an idempotency key. */
  async place(count: number, waits?: (n: number) => Order["waits"]): Promise<void> {
    const first = this.placed.length;
    const starts = Array.from({ length: count }, async (_, n) => {
      const number = first + n;
      const where = waits?.(n);
      const order: Order = {
        number,
        cents: 100 + number,
        items: ["pen", "ink", "paper"].slice(0, 1 + (number % 3)),
        hasCarrier: number % 3 !== 2,
        ...(where === undefined ? {} : { waits: where }),
      };
      const key = number % 2 === 0 ? { idempotencyKey: `order ${number}` } : {};
      const handle = await this.office.sagas.start(this.#order, order, key);
      this.placed.push({ ...order, sagaId: handle.id });
    });
    await Promise.all(starts);
  }

  async openGate(): Promise<void> {
    await this.sql("update shop.gate set is_open = true");
  }

  async sql<Row extends object = object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#pool.query<Row>(text, [...values])).rows;
  }

  /** The first column of the first row, as a number. */
  async count(text: string, values: readonly unknown[] = []): Promise<number> {
    const [row] = await this.sql(`select (${text})::float8 as n`, values);
    return (row as { n: number }).n;
  }

  /** How many orders have come to where they wait: in that worker, or in any. */
  waiting(worker = "%"): Promise<number> {
    const at = (step: string) => this.placed.filter(({ waits }) => waits?.startsWith(`in ${step}`));
    const ids = (orders: readonly PlacedOrder[]) => orders.map(({ sagaId }) => sagaId);
    return this.count(
      `select count(distinct saga_id) from shop.runs where worker like $1 and not is_heard
         and (step = 'charge' and saga_id = any($2) or step = 'confirm' and saga_id = any($3))`,
      [worker, ids(at("charge")), ids(at("confirm"))],
    );
  }

  /** How many sagas have ended. */
  ended(): Promise<number> {
    return this.count(
      "select count(*) from sagaz.saga_executions where saga_name = 'order' and finished_at is not null",
    );
  }

  /** Waits until it is so. @throws Error that tells how the sagas stand and what the workers have said, when it takes too long. */
  async until(what: string, isSo: () => Promise<boolean>, everyMs = 20): Promise<void> {
    try {
      await waitUntil(what, isSo, { withinMs: 25_000, everyMs });
    } catch (error) {
      throw new Error(`${String(error)} ${await this.#describe()}`, { cause: error });
    }
  }

  /** Waits until the saga of every order has ended. */
  allEnd(): Promise<void> {
    return this.until("all sagas have ended", async () => (await this.ended()) >= this.placed.length);
  }

  /** What the workers have said that are not running any more. */
  deadWorkers(): string[] {
    const dead = this.#workers.filter(({ isRunning }) => !isRunning);
    return dead.map(({ name, output }) => `${name}: ${output.slice(-3_000)}`);
  }

  async #describe(): Promise<string> {
    const open = await this.sql(
      `select e.status, e.waiting_for, e.parked_reason, e.adoptions, w.worker_name, w.fenced_at, count(*)
         from sagaz.saga_executions e left join sagaz.saga_workers w on w.epoch = e.owner
         where e.finished_at is null group by 1, 2, 3, 4, 5, 6`,
    );
    const said = this.#workers.map(
      ({ name, isRunning, output }) => `${name}${isRunning ? "" : " (ended)"}: ${output.slice(-2_000)}`,
    );
    return `Not ended: ${JSON.stringify(open)}\n${said.join("\n")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.filter(({ isRunning }) => isRunning).map((worker) => worker.kill()));
    await this.office.stop();
    await Promise.all([this.#pool.end(), this.#shop.end()]);
  }
}
