import { DBOS } from "@dbos-inc/dbos-sdk";
import type { Ending, Order, Session, SessionOptions, System } from "./system.ts";
import { charge, NoCarrier, refund, release, reserve, ship } from "./work.ts";

const quiet = { info: () => {}, debug: () => {}, warn: () => {}, error: console.error };

async function undo(order: Order, reservationId: string, paymentId: string): Promise<Ending> {
  await DBOS.runStep(() => refund({ paymentId, amount: order.amount }), { name: "refund" });
  await DBOS.runStep(() => release({ reservationId, quantity: order.quantity }), { name: "release" });
  return "compensated";
}

const orderWorkflow = DBOS.registerWorkflow(
  async (order: Order): Promise<Ending> => {
    const { reservationId } = await DBOS.runStep(() => reserve(order), { name: "reserve" });
    const { paymentId } = await DBOS.runStep(() => charge(order), { name: "charge" });
    try {
      await DBOS.runStep(() => ship(order), { name: "ship" });
      return "completed";
    } catch (error) {
      if (!isNoCarrier(error)) throw error;
      return undo(order, reservationId, paymentId);
    }
  },
  { name: "order" },
);

/** After a recovery the recorded error comes back as a plain one with the name only. */
function isNoCarrier(error: unknown): boolean {
  return error instanceof NoCarrier || (error instanceof Error && error.name === "NoCarrier");
}

/** Connections of its pool. */
export const dbosPoolSize = Number(process.env["POOL"] ?? 20);

async function open({ url }: SessionOptions): Promise<Session> {
  DBOS.setConfig({
    name: "bench",
    systemDatabaseUrl: url,
    systemDatabasePoolSize: dbosPoolSize,
    applicationVersion: "bench",
    executorID: "bench",
    logger: quiet,
    useListenNotify: false,
  });
  await DBOS.launch();
  return {
    run: (order) => DBOS.withNextWorkflowID ? orderWorkflow(order) : orderWorkflow(order),
    close: () => DBOS.shutdown(),
  };
}

/** DBOS Transact. */
export const dbos: System = {
  name: "dbos",
  tuning: "",
  audit: { unfinishedSql: "", recordedStepsSql: "" },
  install: (url) => DBOS.migrate(url),
  open,
};
