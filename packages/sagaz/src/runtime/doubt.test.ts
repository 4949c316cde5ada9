import { expect, test } from "vitest";
import { judge } from "./doubt.ts";
import { emptyEntry } from "./recording.ts";

const EPOCH = 7;
const event = { type: "step_done", step: "a", data: "{}" };
const release = { row: { release: { wakeAt: null, mailSeq: 0 } } } as never as { row: undefined };
const entry = (fields: object = {}) => ({ ...emptyEntry("s", 5), events: [event], ...fields });
const tail = (seq: number, owner: number | null) => ({ sagaId: "s", seq, owner });

test.each([
  ["the tail ends with our event", entry(), tail(5, EPOCH), 4, "written"],
  ["the tail ends before it", entry(), tail(4, EPOCH), 4, "not written"],
  ["the saga was never stored", { ...entry(), firstSeq: 1 }, undefined, 0, "not written"],
  ["the tail is shorter than what was recorded: a failover lost it", entry(), tail(3, EPOCH), 4, "lost"],
  ["somebody else owns it, and goes on", entry(), tail(5, 8), 4, "lost"],
  ["somebody else owns it, and has written nothing yet", entry(), tail(4, 8), 4, "lost"],
  ["our event gave it up", entry(release), tail(5, null), 4, "written"],
  [
    "a mere release that is not there yet",
    { ...entry(release), events: [] },
    tail(4, EPOCH),
    4,
    "not written",
  ],
  ["a mere release that is there", { ...entry(release), events: [] }, tail(4, null), 4, "written"],
  ["nobody owns it although we gave nothing up", entry(), tail(4, null), 4, "lost"],
])("%s", (_, written, stored, ackedSeq, verdict) => {
  expect(judge(written, { tail: stored, ackedSeq, epoch: EPOCH })).toBe(verdict);
});
