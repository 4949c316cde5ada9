/** What the snippets of README and docs may use without declaring it: the reader's own application. */
import type pg from "pg";
import type { Outbox, Saga, SagaOrchestrator, SagaStorage } from "sagaz";

interface Keyed {
  readonly key: string;
}

declare global {
  interface Item {
    readonly sku: string;
    readonly quantity: number;
  }
  interface Order {
    readonly orderId: string;
    readonly card: string;
    readonly items: readonly Item[];
  }
  const order: Order;
  const OrderSaga: (new () => Saga<Order>) & { readonly sagaName: string };

  const warehouse: {
    reserve(items: readonly Item[], options: Keyed): Promise<{ readonly totalCents: number }>;
    release(options: Keyed): Promise<void>;
  };
  const payments: {
    charge(
      card: string,
      options: Keyed & { readonly totalCents?: number; readonly signal?: AbortSignal },
    ): Promise<Charge>;
    find(key: string): Promise<Charge | undefined>;
    refund(options: Keyed): Promise<void>;
  };
  interface Charge {
    readonly chargeId: string;
  }
  const carrier: { ship(item: Item, options: Keyed): Promise<{ readonly tracking: string }> };
  const mail: { send(to: string, options: Keyed): Promise<void> };

  const pool: pg.Pool;
  const client: pg.PoolClient;
  const storage: SagaStorage;
  const orchestrator: SagaOrchestrator;
  const sagaId: string;
  const outbox: Outbox;
}
