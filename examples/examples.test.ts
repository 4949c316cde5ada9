import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ProgramFolder } from "../tests/docs/program-folder.ts";

const folder = new ProgramFolder();
afterAll(() => folder[Symbol.asyncDispose]());

const examples = readdirSync(import.meta.dirname).filter(
  (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
);

/** What a file says that it prints, in the comment at its end. */
function expectedOutput(file: string): string {
  const [, expected] = /\/\* prints:\n([\s\S]*)\*\/\n$/.exec(readFileSync(file, "utf8")) ?? [];
  if (expected === undefined) throw new Error(`${file} does not end with a comment that says what it prints`);
  return expected;
}

test("there are examples", () => {
  expect(examples.length).toBeGreaterThan(10);
});

test.concurrent.each(examples)("%s prints what it says, and ends by itself", async (name) => {
  const file = join(import.meta.dirname, name);
  expect(await folder.run(file)).toEqual({ output: expectedOutput(file), status: 0 });
});
