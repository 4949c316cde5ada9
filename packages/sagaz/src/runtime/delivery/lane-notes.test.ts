import { expect, test } from "vitest";
import { LaneNotes } from "./lane-notes.ts";
import type { Note } from "./lane-notes.ts";

test("one write at a time; what comes meanwhile is written together, and each waits for its own", async () => {
  const writes: { readonly note: Note; readonly end: () => void }[] = [];
  const notes = new LaneNotes((note) => new Promise((end) => void writes.push({ note, end })));
  const noted: string[] = [];
  const add = (name: string, note: Partial<Note>) =>
    notes.add({ sent: [], failed: [], dead: [], ...note }).then(() => void noted.push(name));
  const failed = { id: 3, attempts: 1, delayMs: 1, error: "no" };
  const dead = { id: 4, attempts: 5, code: "SAGAZ_MESSAGE_REFUSED", error: "no" };
  const first = add("first", { sent: [1] });
  await new Promise(setImmediate);
  const second = add("second", { sent: [2], failed: [failed] });
  const third = add("third", { dead: [dead] });
  await new Promise(setImmediate);
  expect(writes.map(({ note }) => note)).toEqual([{ sent: [1], failed: [], dead: [] }]);
  writes[0]?.end();
  await first;
  await new Promise(setImmediate);
  expect(noted).toEqual(["first"]);
  expect(writes[1]?.note).toEqual({ sent: [2], failed: [failed], dead: [dead] });
  writes[1]?.end();
  await Promise.all([second, third]);
  expect(writes).toHaveLength(2);
});
