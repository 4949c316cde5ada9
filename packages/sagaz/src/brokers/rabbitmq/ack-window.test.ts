import fc from "fast-check";
import { expect, test } from "vitest";
import { AckWindow, type Ack } from "./ack-window.ts";

/** What the window makes of rounds of acknowledgements. */
function takeAll(...rounds: readonly (readonly number[])[]): readonly (readonly Ack[])[] {
  const window = new AckWindow();
  return rounds.map((tags) => {
    for (const tag of tags) window.add(tag);
    return window.take();
  });
}

test("what comes in order is told at once", () => {
  expect(takeAll([1, 2, 3], [4], [])).toEqual([[{ tag: 3, allUpTo: true }], [{ tag: 4, allUpTo: true }], []]);
});

test("what lies beyond a gap is told one by one, and not again when the gap closes", () => {
  expect(takeAll([1, 3, 5], [2], [4, 6])).toEqual([
    [
      { tag: 1, allUpTo: true },
      { tag: 3, allUpTo: false },
      { tag: 5, allUpTo: false },
    ],
    [{ tag: 2, allUpTo: true }],
    [{ tag: 6, allUpTo: true }],
  ]);
});

test("in whatever order and rounds, a server is told each tag and none that it does not know any more", () => {
  const rounds = fc
    .tuple(
      fc.uniqueArray(fc.integer({ min: 1, max: 30 })),
      fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 8 }),
    )
    .map(([tags, sizes]) => [...sizes.map((size) => tags.splice(0, size)), tags]);
  fc.assert(
    fc.property(rounds, (all) => {
      const known = new Set(Array.from({ length: 30 }, (_, n) => n + 1)); // as a server keeps them
      const acked = new Set<number>();
      for (const [round, acks] of takeAll(...all).entries()) {
        for (const tag of all[round] ?? []) acked.add(tag);
        for (const { tag, allUpTo } of acks) {
          expect(known).toContain(tag);
          for (const one of known) if (one === tag || (allUpTo && one < tag)) known.delete(one);
        }
        expect(known).toEqual(
          new Set(Array.from({ length: 30 }, (_, n) => n + 1).filter((n) => !acked.has(n))),
        );
      }
    }),
  );
});
