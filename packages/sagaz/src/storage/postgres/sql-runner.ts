import type { SqlRunner } from "../../core/definition/context.ts";
import { must } from "../../core/must.ts";
import type { OpenConnection } from "./connection.ts";

/**
 * What the user's SQL goes through, until it is closed: values come back as the application's `pg` parses them.
 */
export function openRunner(connection: OpenConnection): { readonly tx: SqlRunner; close(): void } {
  let isOpen = true;
  return {
    tx: async (sql, params = []) => {
      must(isOpen, "ctx.tx is used after its step, or its handler, has settled");
      const { rows } = await connection.pass({ text: sql, values: [...params] });
      return rows;
    },
    close() {
      isOpen = false;
    },
  };
}
