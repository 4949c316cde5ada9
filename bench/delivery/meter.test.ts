import { expect, test } from "vitest";
import { Meter } from "./meter.ts";

function meterAt(expected: number, lot: number) {
  const clock = { ms: 0 };
  return { clock, meter: new Meter({ expected, lot }, () => clock.ms) };
}

test.each([1, 500, 1_000])("counts from when the first lot has come, %i at a time", async (size) => {
  const { clock, meter } = meterAt(3_000, 1_000);
  clock.ms = 700;
  for (let n = 0; n < 3_000; n += size) {
    if (n >= 1_000) clock.ms += size / 10;
    meter.note(size);
  }
  await meter.done;
  expect(meter.perSecond()).toBeCloseTo(10_000);
});

test.each([
  [1_000, "fewer"],
  [3_000, "more"],
])("refuses a figure for %i events, which are %s", (count) => {
  const { meter } = meterAt(2_000, 1_000);
  meter.note(count);
  expect(() => meter.perSecond()).toThrow(`${count} events`);
});
