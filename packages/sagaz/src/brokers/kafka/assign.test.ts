import fc from "fast-check";
import { expect, test } from "vitest";
import { assign } from "./assign.ts";
import {
  decodeAssignment,
  decodeWishes,
  encodeAssignment,
  encodeWishes,
  type Partitions,
} from "./group-protocol.ts";

const names = ["a", "b", "topic-with.dots_and-ü"];
const partitions = fc
  .dictionary(fc.constantFrom(...names), fc.uniqueArray(fc.nat(9), { maxLength: 10 }))
  .map((all): Partitions => new Map(Object.entries(all)));
const groups = fc.record({
  counts: fc.dictionary(fc.constantFrom(...names), fc.nat(10)).map((all) => new Map(Object.entries(all))),
  owned: fc.array(partitions, { minLength: 1, maxLength: 6 }),
});

function flatten(all: Partitions): readonly string[] {
  return Array.from(all).flatMap(([topic, numbers]) => numbers.map((number) => `${topic}:${number}`));
}

test("each partition goes to one member, and all get the same number, give or take one", () => {
  fc.assert(
    fc.property(groups, ({ counts, owned }) => {
      const members = owned.map((had, n) => ({ id: `member-${n}`, topics: names, owned: had }));
      const given = [...assign(members, counts).values()].map(flatten);
      const all = Array.from(counts).flatMap(([topic, count]) =>
        Array.from({ length: count }, (_, number) => `${topic}:${number}`),
      );
      expect(given.flat().sort()).toEqual(all.sort());
      const sizes = given.map((list) => list.length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }),
  );
});

test("nothing moves when nobody comes or goes, and no more than it must when somebody does", () => {
  fc.assert(
    fc.property(groups, ({ counts, owned }) => {
      const first = assign(
        owned.map((had, n) => ({ id: `member-${n}`, topics: names, owned: had })),
        counts,
      );
      const members = Array.from(first, ([id, had]) => ({ id, topics: names, owned: had }));
      expect(assign(members, counts)).toEqual(first);
      const more = assign([...members, { id: "a newcomer", topics: names, owned: new Map() }], counts);
      for (const { id, owned: had } of members) {
        const before = flatten(had);
        const after = flatten(more.get(id) ?? new Map());
        expect(after.filter((name) => !before.includes(name))).toEqual([]);
      }
    }),
  );
});

test("a topic goes to those who want it", () => {
  const members = [
    { id: "one", topics: ["a"], owned: new Map([["b", [0]]]) },
    { id: "two", topics: ["a", "b"], owned: new Map() },
  ];
  const given = assign(members, new Map(Object.entries({ a: 2, b: 2, nobody: 3 })));
  const [one = [], two = []] = ["one", "two"].map((id) => flatten(given.get(id) ?? new Map()));
  expect(one.filter((name) => !name.startsWith("a:"))).toEqual([]);
  expect([...one, ...two].sort()).toEqual(["a:0", "a:1", "b:0", "b:1"]);
});

test("what members write to each other is read as it was", () => {
  fc.assert(
    fc.property(partitions, fc.array(fc.constantFrom(...names)), (owned, topics) => {
      expect(decodeWishes(encodeWishes({ topics, owned }))).toEqual({ topics, owned });
      expect(decodeAssignment(encodeAssignment(owned))).toEqual(owned);
    }),
  );
  expect(decodeAssignment(Buffer.alloc(0))).toEqual(new Map());
});

test("what a member in the first version writes says nothing of what it had", () => {
  const version = [0, 0];
  const topics = [0, 0, 0, 1, 0, 1, 97];
  const userData = [0, 0, 0, 2, 1, 2];
  const first = Buffer.from([...version, ...topics, ...userData]);
  expect(decodeWishes(first)).toEqual({ topics: ["a"], owned: new Map() });
});
