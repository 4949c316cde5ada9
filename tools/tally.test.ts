import { expect, test } from "vitest";
import type { TestModule } from "vitest/node";
import { closingLine, objections, tally } from "./tally.ts";

type State = "passed" | "failed" | "skipped" | "pending";

function toModule(
  tests: readonly { state: State; note?: string }[],
  ok = tests.every(({ state }) => state !== "failed"),
) {
  const module = {
    moduleId: "/repository/x.test.ts",
    ok: () => ok,
    children: {
      allTests: () => tests.map((result) => ({ fullName: result.state, module, result: () => result })),
    },
  };
  return module as unknown as TestModule;
}

test("every state is counted, and the closing line says so", () => {
  const result = tally([
    toModule([{ state: "passed" }, { state: "skipped", note: "no broker here" }]),
    toModule([{ state: "passed" }, { state: "failed" }, { state: "pending" }]),
  ]);
  expect(closingLine(result)).toBe("2 passed, 2 failed, 1 skipped");
  expect(result.skipped[0]?.reason).toBe("no broker here");
});

test("a file that fails outside its tests counts as one failed test", () => {
  expect(tally([toModule([], false)])).toMatchObject({ passed: 0, failed: 1 });
  expect(tally([toModule([{ state: "passed" }], false)])).toMatchObject({ passed: 1, failed: 1 });
  expect(tally([toModule([{ state: "failed" }])])).toMatchObject({ failed: 1 });
});

test("a run is good only when something passed, nothing failed, and every skip has a reason", () => {
  const passed = { passed: 1, failed: 0, skipped: [] };
  const explained = { ...passed, skipped: [{ name: "a", reason: "no broker here" }] };
  const mute = { ...passed, skipped: [{ name: "a", reason: undefined }] };
  expect(objections(passed, { noSkips: true })).toEqual([]);
  expect(objections(explained, { noSkips: false })).toEqual([]);
  expect(objections(explained, { noSkips: true })).toHaveLength(1);
  expect(objections(mute, { noSkips: false })).toHaveLength(1);
  expect(objections({ ...passed, failed: 1 }, { noSkips: false })).toHaveLength(1);
  expect(objections({ passed: 0, failed: 0, skipped: [] }, { noSkips: false })).toEqual(["no test ran"]);
});
