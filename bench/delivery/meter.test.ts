import { expect, test } from "vitest";
import { Meter } from "./meter.ts";

function meterAt(expected: number) {
  const clock = { ms: 0 };
  return { clock, meter: new Meter(expected, () => clock.ms) };
}

test("counts from the first answer to the last, and leaves out what came with the first", async () => {
  const { clock, meter } = meterAt(3_000);
  for (const at of [700, 800, 900]) {
    clock.ms = at;
    meter.note(1_000);
  }
  await meter.done;
  expect(meter.perSecond()).toBe(10_000);
});

test.each([
  [1_000, "fewer"],
  [3_000, "more"],
])("refuses a figure for %i events, which are %s", (count) => {
  const { meter } = meterAt(2_000);
  meter.note(count);
  expect(() => meter.perSecond()).toThrow(`${count} events`);
});
