import type { SqlRunner } from "../core/definition/context.ts";
import { notATransaction } from "./not-a-transaction.ts";

/** The part of Prisma's `TransactionClient` that {@link fromPrisma} uses. */
export interface PrismaTransaction {
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>;
  /** A `PrismaClient` has it, and is refused. */
  readonly $connect?: never;
}

/**
 * Lets sagaz write in a transaction of Prisma: hand in the client that an interactive `$transaction` gives to its
 * callback.
 *
 * The `PrismaClient` itself takes any free connection: what goes through it commits by itself, also inside the callback.
 *
 * @example
 * await prisma.$transaction(async (tx) => {
 *   await tx.order.create({ data: order });
 *   await outbox.add(fromPrisma(tx), { topic: "orders", type: "order.placed", key: order.id, payload: order });
 * });
 *
 * @throws SagaError `SAGAZ_NOT_A_TRANSACTION` for a `PrismaClient`.
 */
export function fromPrisma(tx: PrismaTransaction): SqlRunner {
  if ((tx.$connect as unknown) !== undefined)
    throw notATransaction({
      adapter: "fromPrisma",
      value: "a PrismaClient",
      advice: "Hand in the client that the callback of prisma.$transaction gets",
    });
  return async (sql, params = []) => {
    const rows = await tx.$queryRawUnsafe(sql, ...params).then(undefined, throwDriverError);
    return rows as readonly Record<string, unknown>[];
  };
}

/** What Prisma keeps of the server's error, for a raw query that failed. */
interface Kept {
  readonly originalCode?: string;
  readonly originalMessage?: string;
  readonly severity?: string;
  readonly detail?: string;
}

/** Prisma translates the server's error into its own: it is translated back, as far as Prisma keeps it. */
function throwDriverError(error: unknown): never {
  const { driverAdapterError } =
    (error as { readonly meta?: { readonly driverAdapterError?: Error } }).meta ?? {};
  const kept = (driverAdapterError?.cause ?? {}) as Kept;
  if (kept.originalCode === undefined) throw error;
  const { originalCode: code, originalMessage, severity = "ERROR", detail } = kept;
  throw Object.assign(new Error(originalMessage, { cause: error }), { code, severity, detail });
}
