import type { SagaDefinition, SagaOrchestrator, SagaResult, SagaStatus } from "sagaz";
import type { Pool } from "pg";
import type { Order } from "./order.ts";
import { transaction } from "./sql.ts";

/** An order whose saga was started. */
export interface PlacedOrder {
  readonly number: string;
  readonly customer: string;
  readonly sagaId: string;
}

/** What an order book is made of. */
export interface OrderBookParts {
  readonly pool: Pool;
  readonly definition: SagaDefinition<Order>;
  readonly orchestrator: SagaOrchestrator;
  /** Nobody waits any more: the demo was broken off. */
  readonly signal: AbortSignal;
}

/** Takes orders, and knows what became of them. */
export class OrderBook {
  readonly #pool: Pool;
  readonly #definition: SagaDefinition<Order>;
  readonly #orchestrator: SagaOrchestrator;
  readonly #signal: AbortSignal;

  constructor(parts: OrderBookParts) {
    this.#pool = parts.pool;
    this.#definition = parts.definition;
    this.#orchestrator = parts.orchestrator;
    this.#signal = parts.signal;
  }

  /** The order's row and its saga are written in one transaction: there is never one without the other. */
  place(order: Order, run: number): Promise<PlacedOrder> {
    return transaction(this.#pool, async (sql) => {
      const saga = await this.#orchestrator.sagas.start(this.#definition, order, {
        tx: sql,
        idempotencyKey: order.number,
        correlationId: order.number,
      });
      await sql("insert into demo_shop.orders (number, run, customer, saga_id) values ($1, $2, $3, $4)", [
        order.number,
        run,
        order.customer.name,
        saga.id,
      ]);
      return { number: order.number, customer: order.customer.name, sagaId: saga.id };
    });
  }

  /** Waits until the order's saga has ended, in whatever process, or is parked. */
  ending({ sagaId }: PlacedOrder): Promise<SagaResult<unknown>> {
    const wait = { orParked: true, timeoutMs: 60_000, signal: this.#signal };
    return this.#orchestrator.sagas.result(sagaId, wait);
  }

  /** How these orders stand now, in their order. */
  async statuses(orders: readonly PlacedOrder[]): Promise<SagaStatus[]> {
    const { sagas } = await this.#orchestrator.sagas.list({ sagaName: this.#definition.name, limit: 1_000 });
    const byId = new Map(sagas.map(({ sagaId, status }) => [sagaId, status]));
    return orders.map(({ sagaId }) => byId.get(sagaId) ?? "pending");
  }

  /** The steps that are being done right now. */
  async stepsInFlight(orders: readonly PlacedOrder[]): Promise<string[]> {
    const views = await Promise.all(orders.map(({ sagaId }) => this.#orchestrator.sagas.get(sagaId)));
    return views.flatMap(({ steps }) =>
      steps.filter(({ status }) => status === "running").map(({ step }) => step),
    );
  }

  /** The bank gives in, and an operator tells the saga to try again. Why stays in its history. */
  async closeDispute({ number, sagaId }: PlacedOrder): Promise<void> {
    await this.#pool.query("update demo_shop.disputes set closed_at = now() where order_number = $1", [
      number,
    ]);
    await this.#orchestrator.sagas.retry(sagaId, { actor: "ann", reason: "the bank closed the dispute" });
  }

  /** All orders of this shop, of every run. */
  async list(): Promise<PlacedOrder[]> {
    const { rows } = await this.#pool.query<PlacedOrder>(
      `select number, customer, saga_id as "sagaId" from demo_shop.orders order by run, number`,
    );
    return rows;
  }
}

/** The number of this run: one more than the last. */
export async function nextRun(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ next: number }>(
    "select coalesce(max(run), 0)::int + 1 as next from demo_shop.orders",
  );
  return rows[0]?.next ?? 1;
}
