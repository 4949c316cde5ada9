import { expect, test } from "vitest";
import type { SagaFilter } from "../ports/queries.ts";
import { checkFilter } from "./check-filter.ts";

test.each<[string, object, string]>([
  ["a name that there is not", { statuses: ["parked"] }, 'Did you mean "status"?'],
  ["a status that there is not", { status: ["prked"] }, 'Did you mean "parked"?'],
  ["a status that is no list", { status: "parked" }, "it must be a list"],
])("a filter with %s is refused: it would list all, or none", (_, filter, hint) => {
  expect(() => checkFilter(filter as SagaFilter)).toThrow(hint);
});

test("a filter of all that there is is taken", () => {
  expect(() => checkFilter({})).not.toThrow();
  expect(() => checkFilter({ status: ["parked", "forced_closed"], limit: 1, paused: true })).not.toThrow();
});
