import { describe, expect, test } from "vitest";
import { toCommand, toReply } from "./messages.ts";

const command = {
  sagaId: "s",
  step: "reserve",
  command: "reserve",
  direction: "do",
  round: 0,
  attempt: 1,
  effect: "s/reserve",
  idempotencyKey: "s/reserve/do/0",
  replyTo: "replies",
  deadline: "2026-11-27T12:00:00.000Z",
  payload: null,
};
const reply = { sagaId: "s", step: "reserve", direction: "do", round: 0, outcome: "done" };

const noObjects: readonly unknown[] = [undefined, null, "text", 5, [], new Uint8Array(1)];

test("what has all that matters is taken as it is, whatever else it has", () => {
  expect(toCommand({ ...command, more: 1 })).toEqual({ ...command, more: 1 });
  expect(toReply(reply)).toBe(reply);
  for (const outcome of ["failed", "refused", "unknown"])
    expect(toReply({ ...reply, outcome, error: { message: "m", code: "C", details: [] } })).toBeDefined();
});

describe("a command is refused", () => {
  const invalid = (what: string) =>
    expect.objectContaining({
      code: "SAGAZ_INVALID_COMMAND",
      details: expect.objectContaining({ what }) as unknown,
    }) as unknown;

  test.each(noObjects)("when it is no object: %j", (body) => {
    expect(() => toCommand(body)).toThrow(invalid("body"));
  });

  const texts = ["sagaId", "step", "command", "effect", "idempotencyKey", "replyTo"];
  test.each([
    ...texts.flatMap((name) => [undefined, "", 5].map((value) => [name, value] as const)),
    ["direction", "redo"],
    ["round", -1],
    ["round", 0.5],
    ["round", "0"],
    ["attempt", 0],
  ] as const)("when its %s is %j", (name, value) => {
    expect(() => toCommand({ ...command, [name]: value })).toThrow(invalid(name));
  });
});

describe("a reply is refused", () => {
  const invalid = (what: string) =>
    expect.objectContaining({
      code: "SAGAZ_INVALID_REPLY",
      details: expect.objectContaining({ what }) as unknown,
    }) as unknown;

  test.each(noObjects)("when it is no object: %j", (body) => {
    expect(() => toReply(body)).toThrow(invalid("body"));
  });

  test.each([
    ["sagaId", ""],
    ["step", undefined],
    ["direction", undefined],
    ["round", Number.NaN],
    ["outcome", "maybe"],
    ["error", null],
    ["error", "sold out"],
  ])("when its %s is %j", (name, value) => {
    expect(() => toReply({ ...reply, [name]: value })).toThrow(invalid(name));
  });

  test("when its error has no message, or a code that is no text", () => {
    expect(() => toReply({ ...reply, error: {} })).toThrow(invalid("message"));
    expect(() => toReply({ ...reply, error: { message: "m", code: 5 } })).toThrow(invalid("code"));
  });
});
