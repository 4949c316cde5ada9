import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { runProgram, type ProgramRun } from "./run-program.ts";

const node = (script: string): ProgramRun => ({
  program: process.execPath,
  args: ["-e", script],
  cwd: tmpdir(),
  user: undefined,
  timeoutMs: 30_000,
});

test("gives the exit status and what the program wrote on both channels", async () => {
  const result = await runProgram(node('console.log("out"); console.error("err"); process.exitCode = 3'));
  expect(result.status).toBe(3);
  expect(result.output).toContain("out");
  expect(result.output).toContain("err");
});

test("a program that cannot be run has no status and says why", async () => {
  const result = await runProgram({ ...node(""), program: "/nowhere/initdb" });
  expect(result).toEqual({ status: null, output: expect.stringContaining("ENOENT") as string });
});

test("a program that takes too long is killed", async () => {
  const result = await runProgram({ ...node("setInterval(() => {}, 1000)"), timeoutMs: 300 });
  expect(result).toEqual({ status: null, output: "it did not finish within 300 ms" });
});

test("a process left behind with the pipes open does not hold it up", async () => {
  const script = `
    const child = require("node:child_process").spawn("sleep", ["60"], { detached: true, stdio: "inherit" });
    child.unref();
    console.log(child.pid);`;
  const result = await runProgram(node(script));
  process.kill(Number(result.output));
  expect(result.status).toBe(0);
});

test("variables of PostgreSQL's clients do not reach the programs", async () => {
  process.env["PGDATA"] = "/elsewhere";
  const result = await runProgram(node("console.log(String(process.env.PGDATA), process.env.LC_ALL)"));
  delete process.env["PGDATA"];
  expect(result.output).toBe("undefined C");
});
