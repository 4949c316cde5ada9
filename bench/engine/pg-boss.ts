import PgBoss from "pg-boss";
import { queues, type Parcel, type Queue } from "./pg-boss-stages.ts";
import { Worker, type Done } from "./pg-boss-worker.ts";
import type { Ending, Order, Session, SessionOptions, System } from "./system.ts";

/** Connections for the callers' `send`; each of the five workers has one more. */
const poolSize = 20;

/** How a caller starts a saga: one `send` each, or starts that wait for each other in one `insert`. */
type Starts = "each" | "gathered";

/** The callers' side: starts sagas as first jobs and hears from the workers how they ended. */
class Chain {
  readonly #boss: PgBoss;
  readonly #workers: ReadonlyMap<Queue, Worker>;
  readonly #callers = new Map<string, (ending: Ending) => void>();
  readonly #start: (order: Order) => Promise<unknown>;
  #gathering: { readonly orders: Order[]; readonly sent: Promise<void> } | undefined;
  #lastInsert: Promise<unknown> = Promise.resolve();

  constructor(boss: PgBoss, starts: Starts, { url, inFlight }: SessionOptions) {
    this.#boss = boss;
    this.#start =
      starts === "each" ? (order) => boss.send("reserve", { order }) : (order) => this.#gather(order);
    const onDone = (done: readonly Done[]) => this.#settle(done);
    this.#workers = new Map(
      queues.map((queue) => [queue, new Worker({ boss, url, queue, batchSize: inFlight, onDone })]),
    );
  }

  async start(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.start()));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop()));
  }

  async run(order: Order): Promise<Ending> {
    const ending = new Promise<Ending>((resolve) => this.#callers.set(order.orderId, resolve));
    await this.#start(order);
    this.#workers.get("reserve")?.wake();
    return ending;
  }

  /** All starts that come while one insert is under way go together in the next. */
  #gather(order: Order): Promise<void> {
    if (this.#gathering === undefined) {
      const orders: Order[] = [];
      const sent = this.#lastInsert.then(async () => {
        this.#gathering = undefined;
        await this.#boss.insert(orders.map((one) => ({ name: "reserve", data: { order: one } })));
      });
      this.#gathering = { orders, sent };
      this.#lastInsert = sent;
    }
    this.#gathering.orders.push(order);
    return this.#gathering.sent;
  }

  #settle(done: readonly Done[]): void {
    const woken = new Set<Queue>();
    for (const { parcel, next } of done) {
      if ("queue" in next) woken.add(next.queue);
      else this.#end(parcel, next.ending);
    }
    for (const queue of woken) this.#workers.get(queue)?.wake();
  }

  #end({ order }: Parcel, ending: Ending): void {
    this.#callers.get(order.orderId)?.(ending);
    this.#callers.delete(order.orderId);
  }
}

async function open(options: SessionOptions, starts: Starts): Promise<Session> {
  const boss = new PgBoss({ connectionString: options.url, max: poolSize, schedule: false });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  const chain = new Chain(boss, starts, options);
  await chain.start();
  return {
    run: (order) => chain.run(order),
    close: async () => {
      await chain.stop();
      await boss.stop({ graceful: false });
    },
  };
}

async function install(url: string): Promise<void> {
  const boss = new PgBoss(url);
  await boss.start();
  for (const queue of queues) await boss.createQueue(queue);
  await boss.stop({ graceful: false });
}

const tuning =
  `pool of ${poolSize} for starts, one pipelined connection a queue, batches up to the sagas in flight, ` +
  "complete and next insert in one transaction, workers woken in process";

/** pg-boss with chained jobs by hand; every caller sends its own first job, as its documentation shows. */
export const pgBoss: System = {
  name: "pg-boss",
  tuning: `10.4.2; one send a start; ${tuning}`,
  install,
  open: (options) => open(options, "each"),
};

/** The same, with a group commit for starts written on top: not pg-boss's own, but what one could still add. */
export const pgBossGathered: System = {
  name: "pg-boss-gathered",
  tuning: `10.4.2; starts gathered into one insert by our own code; ${tuning}`,
  install,
  open: (options) => open(options, "gathered"),
};
