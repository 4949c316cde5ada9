import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";
import type { OpenConnection } from "./connection.ts";

/**
 * What the user's SQL goes through, until it is closed: values come back as the application's `pg` parses them.
 *
 * Its `tx` throws SagaError `SAGAZ_CALL_SETTLED` after that, and `SAGAZ_STORAGE_REFUSED` once a statement has ended the
 * transaction: what comes after it would commit by itself. So does `mustBeWhole`, if the handler took no notice.
 */
export function openRunner(
  connection: OpenConnection,
  whose: string,
): { readonly tx: SqlRunner; mustBeWhole(): void; close(): void } {
  let isOpen = true;
  let isEnded = false;
  /** Older versions of `pg` do not tell. */
  const look = () => {
    isEnded ||= connection.client.getTransactionStatus?.() === "I";
    if (isEnded)
      throw new SagaError("SAGAZ_STORAGE_REFUSED", {
        message: `a statement of ${whose} ended the transaction, which is not ${whose}'s to end`,
      });
  };
  return {
    tx: async (sql, params = []) => {
      if (!isOpen) throw new SagaError("SAGAZ_CALL_SETTLED", { whose });
      if (isEnded) look();
      const { rows } = await connection.pass({ text: sql, values: [...params] });
      look();
      return rows;
    },
    mustBeWhole() {
      if (isEnded) look();
    },
    close() {
      isOpen = false;
    },
  };
}
