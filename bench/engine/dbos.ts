import { DBOS } from "@dbos-inc/dbos-sdk";
import type { Ending, Order, Session, SessionOptions, System } from "./system.ts";
import { charge, NoCarrier, refund, release, reserve, ship, type Payment, type Reservation } from "./work.ts";

/** Best of 5, 10, 20, 40 and 80 connections when tried on two cores; the default is 10. */
const poolSize = 20;

// It queues statements on a busy connection, which pg will stop supporting; that is between the two of them.
process.noDeprecation = true;

const quiet = { info: () => {}, debug: () => {}, warn: () => {}, error: console.error };

const orderWorkflow = DBOS.registerWorkflow(
  async (order: Order): Promise<Ending> => {
    const reservation = await DBOS.runStep(() => reserve(order), { name: "reserve" });
    const payment = await DBOS.runStep(() => charge(order), { name: "charge" });
    try {
      await DBOS.runStep(() => ship(order), { name: "ship" });
      return "completed";
    } catch (error) {
      if (!isNoCarrier(error)) throw error;
      return undo(reservation, payment);
    }
  },
  { name: "order" },
);

async function undo(reservation: Reservation, payment: Payment): Promise<Ending> {
  await DBOS.runStep(() => refund(payment), { name: "refund" });
  await DBOS.runStep(() => release(reservation), { name: "release" });
  return "compensated";
}

/** A recorded error comes back after a crash as a plain one that has kept its name. */
function isNoCarrier(error: unknown): boolean {
  return error instanceof NoCarrier || (error instanceof Error && error.name === "NoCarrier");
}

async function open({ url }: SessionOptions): Promise<Session> {
  DBOS.setConfig({
    name: "bench",
    systemDatabaseUrl: url,
    systemDatabasePoolSize: poolSize,
    // The same in every process, so that one started after a kill takes up the sagas of the killed one at once.
    applicationVersion: "bench",
    executorID: "bench",
    logger: quiet,
    // Nobody here waits for messages or events; the listening connection would only cost.
    useListenNotify: false,
  });
  await DBOS.launch();
  return {
    // The direct call returns when the outcome is recorded: no handle, no polling for the result.
    run: (order) => DBOS.withNextWorkflowID(order.orderId, () => orderWorkflow(order)),
    close: () => DBOS.shutdown(),
  };
}

/** DBOS Transact: the saga as a workflow with its undos in a `catch`, as its documentation shows. */
export const dbos: System = {
  name: "dbos",
  tuning: `5.3.0; pool of ${poolSize}, direct calls, steps without retries, no listener, no tracing, log off`,
  audit: {
    unfinishedSql: `SELECT count(*)::int AS n FROM dbos.workflow_status
                    WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')`,
    recordedStepsSql: `SELECT workflow_uuid AS order_id, function_name AS step FROM dbos.operation_outputs
                       WHERE function_name IN ('reserve', 'charge', 'ship')`,
  },
  install: (url) => DBOS.migrate(url),
  open,
};
