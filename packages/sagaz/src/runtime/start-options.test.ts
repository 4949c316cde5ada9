import { expect, test } from "vitest";
import { checkStartOptions } from "./start-options.ts";
import type { StartOptions } from "./start-options.ts";

const refused: readonly [what: string, options: Record<string, unknown>][] = [
  ["an empty key", { idempotencyKey: "" }],
  ["a key that is a number", { idempotencyKey: 4711 }],
  ["a key that is too long", { idempotencyKey: "k".repeat(501) }],
  ["a tenant with a NUL", { tenantId: "a\0b" }],
  ["a correlation id that is null", { correlationId: null }],
  ["headers with a bigint", { headers: { amount: 1n } }],
  ["headers that are a list", { headers: ["a"] }],
  ["headers that are null", { headers: null }],
  ["attributes that nest", { attributes: { customer: { id: "1" } } }],
  ["a start at no time", { startAt: new Date(Number.NaN) }],
  ["a start at a text", { startAt: "tomorrow" }],
];

test.each(refused)("%s is refused with a code", (_, options) => {
  expect(() => checkStartOptions(options as StartOptions)).toThrow(
    expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }),
  );
});

test("what fits is accepted", () => {
  const most = { idempotencyKey: "k".repeat(500), tenantId: "t", correlationId: "c" };
  expect(() => checkStartOptions({})).not.toThrow();
  expect(() =>
    checkStartOptions({ ...most, headers: { a: "b" }, attributes: {}, startAt: new Date(0) }),
  ).not.toThrow();
});
