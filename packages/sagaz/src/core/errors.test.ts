import { expect, test } from "vitest";
import { isSagaError, SagaError } from "./errors.ts";

test("the message is the code and its sentence, filled from the details", () => {
  const cause = new Error("why");
  const error = new SagaError(
    "SAGAZ_UNKNOWN_STEP",
    { saga: "order", step: "chrge", hint: " Did you mean?" },
    { cause },
  );
  expect(error.message).toBe('SAGAZ_UNKNOWN_STEP  saga "order" has no step "chrge". Did you mean?');
  expect(error).toMatchObject({ name: "SagaError", code: "SAGAZ_UNKNOWN_STEP", retryable: false, cause });
});

test("details of any kind have a text, and absent ones leave nothing", () => {
  const texts = [{ a: 1 }, [1], 5, null, undefined, () => 1].map(
    (saga) => new SagaError("SAGAZ_EMPTY_SAGA", { saga }).message,
  );
  expect(texts.map((text) => /saga "(.*?)" has/.exec(text)?.[1])).toEqual([
    '{"a":1}',
    "[1]",
    "5",
    expect.any(String),
    "",
    expect.any(String),
  ]);
  expect(new SagaError("SAGAZ_EMPTY_SAGA").message).toContain('saga ""');
});

test("isSagaError tells codes apart", () => {
  const error = new SagaError("SAGAZ_FENCED");
  expect([isSagaError(error), isSagaError(error, "SAGAZ_FENCED"), isSagaError(error, "SAGAZ_STUCK")]).toEqual(
    [true, true, false],
  );
  expect(isSagaError(new Error("SAGAZ_FENCED"))).toBe(false);
});
