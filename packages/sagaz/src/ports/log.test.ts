import { expect, onTestFinished, test, vi } from "vitest";
import { consoleLog } from "./log.ts";

test("an application that configures nothing sees warnings and errors, with their ids, and nothing else", () => {
  const written: unknown[] = [];
  for (const level of ["debug", "info", "log", "warn", "error"] as const) {
    const spy = vi.spyOn(console, level).mockImplementation((...line) => void written.push([level, ...line]));
    onTestFinished(() => spy.mockRestore());
  }
  consoleLog.debug("a detail");
  consoleLog.info("took over", { sagas: 2 });
  consoleLog.warn("failed", { sagaId: "1" });
  consoleLog.warn("alone");
  consoleLog.error("stuck", { sagaId: "2" });
  consoleLog.error("alone");
  expect(written).toEqual([
    ["warn", "failed", { sagaId: "1" }],
    ["warn", "alone", ""],
    ["error", "stuck", { sagaId: "2" }],
    ["error", "alone", ""],
  ]);
});
