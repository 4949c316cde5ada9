import { expect, test } from "vitest";
import type { EventStream, StreamBatch, StreamedEvent } from "../../ports/event-stream.ts";
import { ReadAhead } from "./read-ahead.ts";

const toEvent = (position: number, payload: string | Uint8Array = "{}") =>
  ({ position, id: position, payload }) as StreamedEvent;
const toBatch = (...positions: readonly number[]): StreamBatch => ({
  events: positions.map((position) => toEvent(position)),
  position: positions.at(-1) ?? 0,
});

/** A stream that answers what it is told to. */
function toStream() {
  const waiting: { resolve(batch: StreamBatch): void; reject(error: Error): void }[] = [];
  let reads = 0;
  const stream: EventStream = {
    read: () => {
      reads += 1;
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    confirm: () => {},
    stop: async () => {},
  };
  const settled = () => new Promise(setImmediate);
  return {
    stream,
    reads: () => reads,
    bring: async (batch: StreamBatch) => {
      waiting.shift()?.resolve(batch);
      await settled();
    },
    break: async (error: Error) => {
      waiting.shift()?.reject(error);
      await settled();
    },
  };
}

const positionsOf = ({ events }: StreamBatch) => events.map(({ position }) => position);

test("what comes while nobody takes it is taken at once, in its order", async () => {
  const { stream, bring } = toStream();
  const ahead = new ReadAhead(stream, 10);
  ahead.start();
  const some = ahead.hasSome();
  await bring(toBatch(1));
  expect(await some).toBe(true);
  await bring(toBatch(2, 3));
  await bring({ events: [toEvent(4)], position: 6 });
  const batch = ahead.take();
  expect(positionsOf(batch)).toEqual([1, 2, 3, 4]);
  expect(batch.position).toBe(6);
});

test("of more than a batch a part is taken, and its position is before the next one's", async () => {
  const { stream, bring, reads } = toStream();
  const ahead = new ReadAhead(stream, 2);
  ahead.start();
  await bring(toBatch(1));
  await bring(toBatch(2, 5));
  expect(reads()).toBe(2);
  const batch = ahead.take();
  expect(positionsOf(batch)).toEqual([1, 2]);
  expect(batch.position).toBe(4);
  await new Promise(setImmediate);
  expect(reads()).toBe(3);
});

test("with many bytes in hand it reads no more, however few events they are", async () => {
  const { stream, bring, reads } = toStream();
  const ahead = new ReadAhead(stream, 1_000);
  const large = new Uint8Array(8 << 20);
  ahead.start();
  await bring({ events: [toEvent(1, large)], position: 1 });
  expect(reads()).toBe(2);
  await bring({ events: [toEvent(2, large)], position: 2 });
  expect(reads()).toBe(2);
  const { events } = ahead.take();
  await new Promise(setImmediate);
  expect(reads()).toBe(3);
  ahead.giveBack(events);
  await bring(toBatch(3));
  expect(reads()).toBe(3);
});

test("what is given back is taken first, and what follows after it", async () => {
  const { stream, bring } = toStream();
  const ahead = new ReadAhead(stream, 10);
  ahead.start();
  await bring(toBatch(1, 2, 3));
  ahead.take();
  await bring(toBatch(4));
  ahead.giveBack([toEvent(2), toEvent(3)]);
  expect(await ahead.hasSome()).toBe(true);
  const batch = ahead.take();
  expect(positionsOf(batch)).toEqual([2, 3, 4]);
  expect(batch.position).toBe(4);
});

test("what was all sent before brings its position alone", async () => {
  const { stream, bring } = toStream();
  const ahead = new ReadAhead(stream, 10);
  ahead.start();
  await bring({ events: [], position: 7 });
  expect(await ahead.hasSome()).toBe(true);
  expect(ahead.take()).toEqual({ events: [], position: 7 });
});

test("a stream that has ended says so, also when something was read before", async () => {
  const { stream, bring, break: end } = toStream();
  const ahead = new ReadAhead(stream, 10);
  ahead.start();
  await bring(toBatch(1));
  await end(new Error("it is over"));
  await expect(ahead.hasSome()).rejects.toThrow("it is over");
});

test("who waits for something is told when it is closed, and no more is read", async () => {
  const { stream, bring, reads } = toStream();
  const ahead = new ReadAhead(stream, 1);
  ahead.start();
  const some = ahead.hasSome();
  ahead.close();
  expect(await some).toBe(false);
  await bring(toBatch(1));
  expect(reads()).toBe(1);
});
