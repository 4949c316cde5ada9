import { expect, test } from "vitest";
import { StreamNotes } from "./stream-notes.ts";
import type { StreamNote } from "./stream-notes.ts";

const toNote = (position: number, ids: Partial<StreamNote> = { sent: [position] }): StreamNote => ({
  sent: [],
  failed: [],
  dead: [],
  left: [],
  position,
  ...ids,
});

/** Notes whose writes end when they are told to. */
function toNotes() {
  const written: StreamNote[] = [];
  const waiting: { resolve(): void; reject(error: Error): void }[] = [];
  const notes = new StreamNotes((note) => {
    written.push(note);
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  });
  const settled = () => new Promise(setImmediate);
  const done = async () => {
    waiting.shift()?.resolve();
    await settled();
  };
  const refused = async (error: Error) => {
    waiting.shift()?.reject(error);
    await settled();
  };
  return { notes, written, done, refused };
}

test("what comes during one write gathers for the next, in its order", async () => {
  const { notes, written, done } = toNotes();
  notes.add(toNote(1));
  const failed = [{ id: 3, attempts: 1, delayMs: 5, error: "no" }];
  const dead = [{ id: 4, attempts: 5, code: "SAGAZ_MESSAGE_REFUSED", error: "no" }];
  notes.add(toNote(2));
  notes.add(toNote(4, { failed, dead, left: [3] }));
  expect(written).toEqual([toNote(1)]);
  await done();
  expect(written[1]).toEqual({ sent: [2], failed, dead, left: [3], position: 4 });
  await done();
  await notes.end();
  expect(written).toHaveLength(2);
});

test("who may not get too far ahead waits until enough is noted", async () => {
  const { notes, done } = toNotes();
  await notes.atMost(0);
  notes.add(toNote(2, { sent: [1, 2] }));
  notes.add(toNote(3));
  await notes.atMost(3);
  const passed: string[] = [];
  const waits = notes.atMost(1).then(() => passed.push("one"));
  const ends = notes.end().then(() => passed.push("all"));
  await new Promise(setImmediate);
  expect(passed).toEqual([]);
  await done();
  expect(passed).toEqual(["one"]);
  await done();
  await Promise.all([waits, ends]);
  expect(passed).toEqual(["one", "all"]);
});

test("after a write that has failed nothing more is written, and whoever waits is told", async () => {
  const { notes, written, refused } = toNotes();
  notes.add(toNote(1));
  await refused(new Error("somebody else reads"));
  notes.add(toNote(2));
  expect(written).toHaveLength(1);
  await expect(notes.end()).rejects.toThrow("somebody else reads");
  await expect(notes.atMost(0)).rejects.toThrow("somebody else reads");
});
