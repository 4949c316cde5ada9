import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root } from "./repository.ts";

// The linter holds the limits (`npm run check`). Here stand files that break one rule each: the linter must say so.

const lines = (count: number): string => "  n += 1;\n".repeat(count);
const branches = (count: number): string => "  if (n > 1) n -= 1;\n".repeat(count);

const offences: Readonly<Record<string, string>> = {
  "max-lines": "export const a = 1;\n" + "// a line\n".repeat(400),
  "max-lines-per-function": `export function f(n: number): number {\n${lines(58)}  return n;\n}\n`,
  complexity: `export function f(n: number): number {\n${branches(10)}  return n;\n}\n`,
  "max-params":
    "export function f(a: number, b: number, c: number, d: number): number {\n  return a + b + c + d;\n}\n",
  "no-default-export": "export default 1;\n",
  "no-explicit-any": "export const a: any = 1;\n",
  "no-floating-promises": "export function f(p: () => Promise<void>): void {\n  p();\n}\n",
  "switch-exhaustiveness-check":
    'export function f(u: "a" | "b"): number {\n  switch (u) {\n    case "a":\n      return 1;\n    default:\n      return 2;\n  }\n}\n',
  "return-await":
    "export async function f(p: Promise<void>): Promise<void> {\n  try {\n    return p;\n  } catch {\n    return undefined;\n  }\n}\n",
};

const justWithin = `export function f(n: number): number {\n${lines(57)}  return n;\n}\n`
  .concat(`export function g(n: number): number {\n${branches(9)}  return n;\n}\n`)
  .concat("export function h(a: number, b: number, c: number): number {\n  return a + b + c;\n}\n");

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sagaz-limits-"));
  copyFileSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { strict: true, target: "ES2022", types: [] }, include: ["*.ts"] }),
  );
  for (const [rule, source] of Object.entries(offences)) writeFileSync(join(folder, `${rule}.ts`), source);
  writeFileSync(join(folder, "just-within.ts"), justWithin);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("the linter reports each planted offence, and nothing that keeps within the limits", () => {
  const names = [...Object.keys(offences).map((rule) => `${rule}.ts`), "just-within.ts"];
  const { stdout } = spawnSync(join(root, "node_modules/.bin/oxlint"), ["--format", "json", ...names], {
    cwd: folder,
    encoding: "utf8",
  });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  const found = diagnostics.map(({ code, filename }) => `${filename}: ${code.replace(/^.*\(|\)$/g, "")}`);
  expect(found.toSorted()).toEqual(
    Object.keys(offences)
      .map((rule) => `${rule}.ts: ${rule}`)
      .toSorted(),
  );
});
