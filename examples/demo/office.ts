import type { Pool } from "pg";
import { SagaOrchestrator, type OrchestratorOptions } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { OrderBook } from "./order-book.ts";
import { orderSaga } from "./order-saga.ts";
import { openShop } from "./shop.ts";
import { openPool } from "./sql.ts";

/** Where orders come in. With `sagasInFlightMax: 0` it starts sagas and leaves running them to workers. */
export interface Office extends AsyncDisposable {
  readonly book: OrderBook;
}

/** Opens an office on the database. */
export async function openOffice(
  { url, pool, signal }: { readonly url: string; readonly pool: Pool; readonly signal: AbortSignal },
  options: Pick<OrchestratorOptions, "sagasInFlightMax"> = {},
): Promise<Office> {
  const definition = orderSaga(openShop(pool));
  const enginePool = openPool(url);
  const storage = new PostgreSQLStorage({ pool: enginePool });
  const orchestrator = new SagaOrchestrator({ storage, sagas: [definition], leaseMs: 2_000, ...options });
  await orchestrator.start();
  return {
    book: new OrderBook({ pool, definition, orchestrator, signal }),
    async [Symbol.asyncDispose]() {
      await orchestrator.stop();
      await enginePool.end();
    },
  };
}
