import fc from "fast-check";
import { expect, test } from "vitest";
import { covers, Subjects } from "./subjects.ts";

const subjects = new Subjects("sagaz");

test("a topic with dots stays as it is, and what a subject may not contain is written otherwise", () => {
  expect(subjects.message("orders")).toBe("sagaz.orders");
  expect(subjects.message("orders.created-2_x")).toBe("sagaz.orders.created-2_x");
  expect(subjects.message("a b")).toBe("sagaz.a=20b");
  expect(subjects.message("*.>")).toBe("sagaz.=2a.=3e");
  expect(subjects.message("größe")).toBe("sagaz.gr=c3=b6=c3=9fe");
  expect(subjects.message("a..b")).toBe("sagaz.a=2e=2eb");
  expect(subjects.message("")).toBe("sagaz.=");
  expect(subjects.place("a.b", "c.d")).toBe("$KV.sagaz-groups.a=2eb.c.d");
});

test("two topics never share a subject, and every subject can be used", () => {
  const name = fc.oneof(
    fc.string({ unit: fc.constantFrom("a", ".", "=", "2", "e", " ", "*", "é", "🔑") }),
    fc.string({ unit: "grapheme" }),
  );
  fc.assert(
    fc.property(name, name, (one, other) => {
      for (const subject of [subjects.message(one), subjects.place(one, other)])
        expect(subject).toMatch(/^(\$KV\.)?[\w=-]+(\.[\w=-]+)+$/);
      if (one === other) return;
      expect(subjects.message(one)).not.toBe(subjects.message(other));
      expect(subjects.place(one, other)).not.toBe(subjects.place(other, one));
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ["a.>", "a.b", true],
  ["a.>", "a.b.c", true],
  ["a.>", "a", false],
  ["a.>", "b.c", false],
  [">", "a", true],
  ["a.*", "a.b", true],
  ["a.*", "a.b.c", false],
  ["*.b.>", "a.b.c", true],
  ["a.b", "a.b", true],
  ["a.b", "a.c", false],
])("%s covers %s: %s", (taken, subject, answer) => {
  expect(covers(taken, subject)).toBe(answer);
});
