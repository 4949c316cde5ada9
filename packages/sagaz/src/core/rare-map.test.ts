import fc from "fast-check";
import { expect, test } from "vitest";
import { RareMap } from "./rare-map.ts";

type Call = { readonly key: string; readonly value: number } & { readonly do: "set" | "delete" | "clear" };

const calls = fc.array(
  fc.record<Call>({
    do: fc.constantFrom("set", "set", "delete", "clear"),
    key: fc.constantFrom("a", "b", "c"),
    value: fc.nat(9),
  }),
);

test("is a map like any other, and like one that never held anything once it is empty again", () => {
  fc.assert(
    fc.property(calls, (history) => {
      const rare = new RareMap<string, number>();
      const model = new Map<string, number>();
      for (const { do: what, key, value } of history) {
        if (what === "set") {
          rare.set(key, value);
          model.set(key, value);
        } else if (what === "delete") expect(rare.delete(key)).toBe(model.delete(key));
        else {
          rare.clear();
          model.clear();
        }
        expect([rare.get(key), rare.has(key), rare.size]).toEqual([
          model.get(key),
          model.has(key),
          model.size,
        ]);
        expect([[...rare.keys()], [...rare.values()], [...rare]]).toEqual([
          [...model.keys()],
          [...model.values()],
          [...model],
        ]);
      }
      if (model.size === 0) expect(Object.values(rare)).toEqual([undefined]);
    }),
  );
});
