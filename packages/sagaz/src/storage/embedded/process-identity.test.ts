import { spawn, spawnSync } from "node:child_process";
import { expect, test, vi } from "vitest";
import {
  findProgramName,
  identifyProcess,
  isPidRunning,
  isPidTaken,
  isProcessRunning,
} from "./process-identity.ts";

const isLinux = process.platform === "linux";

test("a running process is known by its identity, and no longer once it has ended", () => {
  expect(isProcessRunning(identifyProcess(process.pid))).toBe(true);
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  expect(isPidTaken(pid)).toBe(false);
  expect(isProcessRunning(identifyProcess(pid))).toBe(false);
});

test("another process with the same pid is not taken for it (Linux)", ({ skip }) => {
  skip(!isLinux, "only Linux tells");
  expect(identifyProcess(process.pid)).toMatch(/^\d+:\d+$/);
  expect(isProcessRunning(`${process.pid}:1`)).toBe(false);
  expect(findProgramName(process.pid)).toBeDefined();
});

test("what is no pid never runs", () => {
  for (const pid of [0, -1, 1.5, Number.NaN]) expect(isPidTaken(pid)).toBe(false);
  expect(isProcessRunning("")).toBe(false);
  expect(findProgramName(0)).toBeUndefined();
});

test("a process of another user counts as running", () => {
  // Process 1 always runs and, unless we are root, is somebody else's.
  expect(isPidRunning(1)).toBe(true);
});

test("a zombie still has its pid but does not run (Linux)", async ({ skip }) => {
  skip(!isLinux, "only Linux tells");
  // The shell turns into `sleep`, which never collects its dead child.
  const parent = spawn("/bin/sh", ["-c", 'sleep 60 & echo "$!"; exec sleep 60'], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const line = await new Promise<string>((resolve) =>
    parent.stdout.once("data", (part: Buffer) => resolve(part.toString())),
  );
  const zombie = Number(line);
  await vi.waitUntil(() => findProgramName(Number(parent.pid)) === "sleep", { timeout: 10_000 });
  process.kill(zombie, "SIGKILL");
  await vi.waitUntil(() => !isPidRunning(zombie), { timeout: 10_000 });
  expect(isPidTaken(zombie)).toBe(true);
  parent.kill("SIGKILL");
});
