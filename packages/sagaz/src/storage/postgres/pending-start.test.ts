import { expect, onTestFinished, test, vi } from "vitest";
import type { Database } from "./database.ts";
import { PendingStart } from "./pending-start.ts";
import { UndecidedIds } from "./undecided-ids.ts";

/** What the server answers about ids; each look comes so late that it is asked again. */
function open() {
  const server = { last_id: "10", life: "one", writers: "", flushed: "9", logged: "9" };
  const database = { sql: { undecidedIds: "" }, read: async () => [{ ...server }] };
  const start = new PendingStart(new UndecidedIds(database as unknown as Database));
  let nowMs = 0;
  const now = vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  onTestFinished(() => now.mockRestore());
  const look = async () => {
    await new Promise((resolve) => setImmediate(resolve)); // what was asked before is answered
    nowMs += 1_000;
    return start.look();
  };
  const wait = (ms: number) => void (nowMs += ms);
  return { server, start, look, wait };
}

test("a look begins after what earlier looks have found to be gone, as far as that is decided", async () => {
  const { start, look } = open();
  expect(await look()).toEqual({ after: 0, decided: { upTo: 0, lastId: 10, life: "one" } });
  const second = await look();
  expect(second).toMatchObject({ after: 0, decided: { upTo: 10 } });
  start.found(second, 8);
  expect((await look()).after).toBe(7);
  start.found(second, 100); // nothing is pending at all: later ids may still come to light
  expect((await look()).after).toBe(10);
  start.found(second, 3); // the answer to an earlier look, come late
  expect((await look()).after).toBe(10);
});

test("in another life of the server looks begin anew, whatever a look of the life before has found", async () => {
  const { server, start, look } = open();
  await look();
  const before = await look();
  start.found(before, 8);
  server.life = "another";
  expect((await look()).after).toBe(0);
  start.found(before, 8);
  expect((await look()).after).toBe(0);
  start.found(await look(), 5);
  expect((await look()).after).toBe(4);
});

test("without waiting a look is answered while it is recent, and not where it would walk over too much", async () => {
  const { server, start, look, wait } = open();
  expect(start.lookNow()).toBeUndefined();
  const first = await look();
  expect(start.lookNow()).toEqual(first);
  wait(1_000);
  expect(start.lookNow()).toBeUndefined();
  server.last_id = "10001";
  await look();
  expect(start.lookNow()).toBeUndefined();
});
