import { checkOptionNames } from "../core/definition/check-options.ts";
import { didYouMean } from "../core/definition/suggest.ts";
import { SagaError } from "../core/errors.ts";
import type { SagaStatus } from "../core/saga/status.ts";
import type { SagaFilter } from "../ports/queries.ts";

const MEMBERS: Readonly<Record<keyof SagaFilter, true>> = {
  sagaName: true,
  status: true,
  tenantId: true,
  correlationId: true,
  parkedReason: true,
  paused: true,
  attributes: true,
  createdFrom: true,
  createdBefore: true,
  limit: true,
  after: true,
};
const STATUSES: Readonly<Record<SagaStatus, true>> = {
  pending: true,
  running: true,
  compensating: true,
  parked: true,
  completed: true,
  compensated: true,
  compensated_with_exceptions: true,
  forced_closed: true,
};

/**
 * Refuses a filter that is misspelt: it would list all, or none, and whoever looks for parked sagas would see none.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function checkFilter(filter: Partial<SagaFilter>): void {
  checkOptionNames("list", filter, Object.keys(MEMBERS));
  if (filter.status === undefined) return;
  const known = Object.keys(STATUSES);
  if (!Array.isArray(filter.status)) throw invalid(JSON.stringify(filter.status), "it must be a list");
  const unknown = filter.status.find((status) => !known.includes(status));
  if (unknown !== undefined)
    throw invalid(
      JSON.stringify(unknown),
      `it must hold some of ${known.join(", ")}`,
      didYouMean(String(unknown), known),
    );
}

function invalid(value: string, rule: string, hint = ""): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "list", option: "status", value, rule, hint });
}
