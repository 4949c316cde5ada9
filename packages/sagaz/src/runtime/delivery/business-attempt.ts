import type { BusinessFailure } from "../../core/decide/outcome.ts";
import type { SqlRunner } from "../../core/definition/context.ts";
import type { SagaStorage } from "../../ports/storage.ts";

/** How something ended that the business may say no to. */
export type BusinessOutcome = { readonly result: unknown } | { readonly failure: BusinessFailure };

/**
 * Does something in a transaction that goes on. What could not be done leaves nothing behind in it.
 *
 * @throws whatever else it throws than what `fail(…)` makes.
 */
export async function attemptIn(
  { tx, storage }: { readonly tx: SqlRunner; readonly storage: Pick<SagaStorage, "can"> },
  attempt: () => unknown,
): Promise<BusinessOutcome> {
  const understandsSql = storage.can.transactionalSteps;
  if (understandsSql) await tx("savepoint sagaz_attempt");
  try {
    const result = await attempt();
    if (understandsSql) await tx("release savepoint sagaz_attempt");
    return { result };
  } catch (error) {
    if (!isBusinessFailure(error)) throw error;
    if (understandsSql) await tx("rollback to savepoint sagaz_attempt");
    return { failure: error };
  }
}

/** By its name, as two copies of the library in one process would not know each other's classes. */
function isBusinessFailure(error: unknown): error is BusinessFailure {
  return error instanceof Error && error.name === "BusinessFailure";
}
