import { expect, test } from "vitest";
import { createdAtOf, toSagaId } from "./saga-id.ts";

test("an id is the UUIDv7 of its time and its bytes", () => {
  // Time and layout of the example in RFC 9562, appendix A.6.
  const random = Uint8Array.from([0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
  expect(toSagaId(0x017f22e279b0, random)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

test("the time of an id is read back exactly", () => {
  for (const time of [0, 1, 1_700_000_000_123, 2 ** 48 - 1]) {
    expect(createdAtOf(toSagaId(time, new Uint8Array(10).fill(0xff)))).toBe(time);
  }
});

test("ids sort by time, then by their bytes", () => {
  const low = toSagaId(5, Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
  const high = toSagaId(5, Uint8Array.from([0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
  expect([toSagaId(6, new Uint8Array(10)), high, low].toSorted()).toEqual([
    low,
    high,
    toSagaId(6, new Uint8Array(10)),
  ]);
});

test.each(["", "nonsense", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "017f22e2-79b0-4cc3-98c4-dc0c0c07398f"])(
  "%j is no saga id",
  (text) => {
    expect(() => createdAtOf(text)).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_ID" }));
  },
);
