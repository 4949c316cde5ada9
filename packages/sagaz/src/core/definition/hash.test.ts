import { expect, test } from "vitest";
import { saga } from "./builder.ts";
import { DraftBuilder } from "./draft-builder.ts";
import { hashGraph } from "./hash.ts";

const nothing = () => undefined;
const verify = () => ({ outcome: "unknown" }) as const;
const child = (version: number) => saga("child", { version }).step("a", { do: nothing }).build();
const sleeping = saga("child").sleep("a", { forMs: 1 }).build();
const order = () => DraftBuilder.start("order", {});

test("is 16 hex digits of FNV-1a over 64 bits", () => {
  // The published test vector of the empty string would need a hash of nothing; these are of the canonical texts
  // ["order"] and ["foobar"], computed with BigInt arithmetic below.
  for (const name of ["order", "foobar", "x".repeat(200)]) {
    let hash = 0xcbf29ce484222325n;
    for (const char of JSON.stringify([name])) {
      hash = ((hash ^ BigInt(char.charCodeAt(0))) * 0x100000001b3n) % 2n ** 64n;
    }
    expect(hashGraph({ name, steps: [] })).toBe(hash.toString(16).padStart(16, "0"));
  }
});

test("tells apart everything that decides what may run when", () => {
  const undone = { do: nothing, undo: nothing };
  const two = order().step("b", undone);
  const definitions = [
    DraftBuilder.start("other", {}).step("a", { do: nothing }),
    order().step("a", { do: nothing }),
    order().step("c", { do: nothing }),
    order().step("a", { do: nothing, verify }),
    order().step("a", { do: nothing, transactional: true }),
    order().step("a", { do: nothing, onUnknown: "park" }),
    order().step("a", undone),
    order().step("a", { ...undone, onExhausted: "continue" }),
    order().pivot("a", { do: nothing }),
    two.step("a", undone),
    two.step("a", { ...undone, undoAfter: ["b"] }),
    two.step("a", { ...undone, after: ["b"] }),
    order().map("a", { over: () => [], do: nothing }),
    order().map("a", { over: () => [], do: nothing, undo: nothing }),
    order().map("a", { over: () => [], do: nothing, verify }),
    order().signal("a"),
    order().signal("a", { signal: "b" }),
    order().sleep("a", { forMs: 1 }),
    order().child("a", { saga: child(1), input: nothing }),
    order().child("a", { saga: child(2), input: nothing }),
    order().child("a", { saga: sleeping, input: nothing }),
  ];
  const hashes = definitions.map((builder) => builder.build().graphHash);
  expect(new Set(hashes).size).toBe(definitions.length);
  for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{16}$/);
});

test("does not see functions, times, retries or the version", () => {
  const plain = order().step("a", { do: nothing }).build();
  const tuned = DraftBuilder.start("order", {
    version: 2,
    timeoutMs: 5,
    strategy: "WAIT_ALL",
    retry: { maxAttempts: 9 },
    inFlightMax: 3,
  })
    .step("a", { do: () => 42, timeoutMs: 5, stepTimeoutMs: 6, retry: { maxAttempts: 2 } })
    .build();
  expect(tuned.graphHash).toBe(plain.graphHash);
});
