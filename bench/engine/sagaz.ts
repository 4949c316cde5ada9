import pg from "pg";
import { action, compensate, fail, Saga, SagaOrchestrator, type StepContext, type UndoContext } from "sagaz";
import { PostgreSQLStorage } from "sagaz/postgres";
import { drive } from "./load.ts";
import { leaseMs } from "./plan.ts";
import { copyTheOnlySaga } from "./sagaz-history.ts";
import type { Ending, Order, Session, SessionOptions, System } from "./system.ts";
import { charge, NoCarrier, refund, release, reserve, ship, type Payment, type Reservation } from "./work.ts";

const poolSize = 10;

class OrderSaga extends Saga<Order> {
  static readonly sagaName = "order";
  static readonly sequential = true;

  @action("reserve")
  reserve(ctx: StepContext<Order>): Promise<Reservation> {
    return reserve(ctx.input);
  }

  @compensate("reserve")
  release(ctx: UndoContext<Order, Reservation>): Promise<unknown> {
    return release(ctx.result);
  }

  @action("charge")
  charge(ctx: StepContext<Order>): Promise<Payment> {
    return charge(ctx.input);
  }

  @compensate("charge")
  refund(ctx: UndoContext<Order, Payment>): Promise<unknown> {
    return refund(ctx.result);
  }

  @action("ship")
  async ship(ctx: StepContext<Order>): Promise<unknown> {
    try {
      return await ship(ctx.input);
    } catch (error) {
      throw error instanceof NoCarrier ? fail(error.message) : error;
    }
  }
}

async function open({ url, inFlight }: SessionOptions): Promise<Session> {
  const pool = new pg.Pool({ connectionString: url, max: poolSize });
  const orchestrator = new SagaOrchestrator({
    storage: new PostgreSQLStorage({ pool }),
    sagas: [OrderSaga],
    leaseMs,
    sagasInFlightMax: Math.max(1000, inFlight),
  });
  await orchestrator.start();
  return {
    run: async (order) => {
      const saga = await orchestrator.sagas.start(OrderSaga, order);
      const { status } = await saga.result();
      return status as Ending;
    },
    close: async () => {
      await orchestrator.stop();
      await pool.end();
    },
  };
}

/** Runs one saga, so that the history is made of what the engine really writes. */
async function fillHistory(url: string, sagas: number): Promise<void> {
  const session = await open({ url, inFlight: 1 });
  await drive(session, { inFlight: 1, forMs: 0, fails: false });
  await session.close();
  await copyTheOnlySaga(url, sagas);
}

/** Ours, with the library's defaults. */
export const sagaz: System = {
  name: "sagaz",
  tuning: `defaults; pool of ${poolSize}, lease ${leaseMs} ms, no lifecycle events`,
  audit: {
    unfinishedSql: "SELECT count(*)::int AS n FROM sagaz.saga_executions WHERE finished_at IS NULL",
    recordedStepsSql: `
      SELECT started.data::json -> 'input' ->> 'orderId' AS order_id, done.step
      FROM sagaz.saga_events AS done JOIN sagaz.saga_events AS started USING (saga_id, created_at)
      WHERE done.type = 'step_done' AND started.seq = 1`,
  },
  journalRowsPerSagaSql: `
    SELECT (SELECT count(*) FROM sagaz.saga_events)::float8
           / (SELECT count(*) FROM sagaz.saga_executions) AS n`,
  canFillHistory: true,
  install: async (url) => {
    const session = await open({ url, inFlight: 1 });
    await session.close();
  },
  open,
  fillHistory,
};
