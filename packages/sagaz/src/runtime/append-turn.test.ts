import { expect, test } from "vitest";
import { AppendTurn } from "./append-turn.ts";

/** A saga of which something may be on its way, and what has happened to it, in order. */
function open() {
  const turn = new AppendTurn();
  const done: string[] = [];
  const saga = { isBusy: false };
  const take = (who: string) => turn.take(() => saga.isBusy).then(() => void done.push(who));
  return { turn, done, saga, take };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("what is put off happens when the turn is given back, in order, and once", async () => {
  const { turn, done, take } = open();
  await take("step");
  turn.defer(() => done.push("first"));
  turn.defer(() => done.push("second"));
  await settle();
  expect(done).toEqual(["step"]);
  turn.giveBack();
  expect(done).toEqual(["step", "first", "second"]);
  turn.giveBack();
  expect(done).toEqual(["step", "first", "second"]);
});

test("what is put off once more, while it is made up for, waits for the next time", async () => {
  const { turn, done, take } = open();
  await take("step");
  const look = () => {
    done.push(turn.isTaken ? "looked in the midst of it" : "looked");
    if (done.length < 3) turn.defer(look);
  };
  turn.defer(look);
  turn.giveBack();
  expect(done).toEqual(["step", "looked"]);
  turn.giveBack();
  expect(done).toEqual(["step", "looked", "looked"]);
});

test("one at a time has it: whoever comes second waits, and what was put off goes before", async () => {
  const { turn, done, take } = open();
  await take("one");
  const second = take("two");
  turn.defer(() => done.push("put off"));
  turn.recheck(); // something was recorded: still the first one's
  await settle();
  expect(done).toEqual(["one"]);
  turn.giveBack();
  await second;
  expect(done).toEqual(["one", "put off", "two"]);
  expect(turn.isTaken).toBe(true);
});

test("nobody has it while something of the saga is on its way", async () => {
  const { turn, done, saga, take } = open();
  saga.isBusy = true;
  const taken = take("step");
  turn.recheck();
  await settle();
  expect(done).toEqual([]);
  expect(turn.isTaken).toBe(false);
  saga.isBusy = false;
  turn.recheck();
  await taken;
  expect(turn.isTaken).toBe(true);
});

test("giving back what was never taken leaves it free", async () => {
  const { turn, done, take } = open();
  turn.giveBack();
  expect(turn.isTaken).toBe(false);
  await take("step");
  expect(done).toEqual(["step"]);
});
