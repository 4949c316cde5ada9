import fc from "fast-check";
import { expect, test } from "vitest";
import { WakeQueue } from "./wake-queue.ts";
import type { Sleeper } from "./wake-queue.ts";

const toSleeper = (n: number): Sleeper => ({
  sagaId: `s${String(n).padStart(3, "0")}`,
  wakeAt: 0,
  place: -1,
});

test("whatever comes, goes and changes its time: the first is the one that has been due longest", () => {
  const step = fc.record({ who: fc.nat(19), wakeAt: fc.option(fc.nat(30)) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new WakeQueue<Sleeper>();
      const all = Array.from({ length: 20 }, (_, n) => toSleeper(n));
      const inside = new Set<Sleeper>();
      for (const { who, wakeAt } of steps) {
        const sleeper = all[who]!;
        sleeper.wakeAt = wakeAt;
        if (wakeAt === null) queue.remove(sleeper);
        else queue.put(sleeper);
        if (wakeAt === null) inside.delete(sleeper);
        else inside.add(sleeper);
        const order = [...inside].sort((a, b) => a.wakeAt! - b.wakeAt! || (a.sagaId < b.sagaId ? -1 : 1));
        expect(queue.size).toBe(inside.size);
        expect(queue.due(30)).toBe(order[0]);
        expect(queue.due(10)).toBe(order[0] && order[0].wakeAt! <= 10 ? order[0] : undefined);
      }
    }),
  );
});

test("members leave in the order of their times", () => {
  const queue = new WakeQueue<Sleeper>();
  const times = Array.from({ length: 500 }, (_, n) => (n * 7_919) % 500);
  for (const [n, wakeAt] of times.entries()) queue.put({ ...toSleeper(n), wakeAt });
  const left: (number | null)[] = [];
  for (let next = queue.due(Infinity); next; next = queue.due(Infinity)) {
    left.push(next.wakeAt);
    queue.remove(next);
  }
  expect(left).toEqual([...times].sort((a, b) => a - b));
});
