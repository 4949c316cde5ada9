import fc from "fast-check";
import { expect, test } from "vitest";
import { toChains } from "./chains.ts";

const toMessages = (...names: string[]) =>
  names.map((name) => ({ topic: name.charAt(0), key: name.slice(1) }));

test("messages of one topic and key make a chain, in their order", () => {
  expect(toChains(toMessages("ta", "tb", "ta", "tc", "tb", "ta"))).toEqual([[0, 2, 5], [1, 4], [3]]);
});

test("no messages make no chains", () => {
  expect(toChains([])).toEqual([]);
});

test("one key in two topics makes two chains, however the names are cut", () => {
  expect(toChains(toMessages("ta", "ua"))).toEqual([[0], [1]]);
  expect(
    toChains([
      { topic: "ab", key: "c" },
      { topic: "a", key: "bc" },
      { topic: "", key: "1 a" },
      { topic: "1 a", key: "" },
    ]),
  ).toHaveLength(4);
});

test("every message is in one chain, all of a chain have its topic and key, and no other chain has them", () => {
  const name = fc.constantFrom("", "a", "b", "ab", "1", "1 ", "0 ");
  const message = fc.record({ topic: name, key: name });
  fc.assert(
    fc.property(fc.array(message), (messages) => {
      const chains = toChains(messages);
      expect(chains.flat().toSorted((a, b) => a - b)).toEqual([...messages.keys()]);
      const names = chains.map((chain) => new Set(chain.map((place) => JSON.stringify(messages[place]))));
      for (const one of names) expect(one.size).toBe(1);
      expect(new Set(names.flatMap((one) => [...one])).size).toBe(chains.length);
      for (const chain of chains) expect(chain).toEqual(chain.toSorted((a, b) => a - b));
    }),
  );
});
