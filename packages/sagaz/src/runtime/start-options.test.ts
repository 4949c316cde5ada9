import { expect, test } from "vitest";
import { toStartOptions } from "./start-options.ts";
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
  ["a key with half a character, which UTF-8 does not have", { idempotencyKey: "k\ud800" }],
  ["attributes with half a character", { attributes: { customer: "\udc00" } }],
  ["a start at no time", { startAt: new Date(Number.NaN) }],
  ["a start at a text", { startAt: "tomorrow" }],
  ["a key that is misspelt, and would be none", { idempotencykey: "4711" }],
];

test.each(refused)("%s is refused with a code", (_, options) => {
  expect(() => toStartOptions(options as StartOptions)).toThrow(
    expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }),
  );
});

test("what is no transaction is refused", () => {
  const client = { query: () => {} };
  expect(() => toStartOptions({ tx: client } as unknown as StartOptions)).toThrow("fromPg(client)");
});

test("what fits is accepted", () => {
  const most = { idempotencyKey: "k".repeat(500), tenantId: "t", correlationId: "c" };
  expect(() => toStartOptions({})).not.toThrow();
  expect(() =>
    toStartOptions({ ...most, headers: { a: "b" }, attributes: {}, startAt: new Date(0) }),
  ).not.toThrow();
});

test("what was given is copied, without what no journal keeps", () => {
  const headers = { a: "b", [Symbol("hidden")]: "c" };
  const startAt = new Date(5_000);
  const given = { headers, startAt };
  const taken = toStartOptions(given);
  headers.a = "changed";
  startAt.setTime(Number.NaN);
  expect(taken).toEqual({ headers: { a: "b" }, startAt: new Date(5_000) });
  expect(Reflect.ownKeys(taken.headers ?? {})).toEqual(["a"]);
  expect(Object.isFrozen(taken.headers)).toBe(true);
});

test("a time that is long over means at once", () => {
  expect(toStartOptions({ startAt: new Date(-8.64e15) }).startAt).toEqual(new Date(0));
});
