import { SagaError } from "./errors.ts";

/**
 * Refuses what is no transaction of the caller's, such as the driver's own connection.
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION`.
 */
export function checkTx(where: string, tx: unknown): void {
  if (typeof tx === "function") return;
  throw new SagaError("SAGAZ_NOT_A_TRANSACTION", {
    adapter: where,
    value: tx === undefined || tx === null ? "no transaction" : "something that is no transaction",
    advice: "Hand in what an adapter of sagaz/transactions makes of yours, such as fromPg(client)",
  });
}
