import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cruise, type ICruiseResult } from "dependency-cruiser";
import { afterAll, beforeAll, expect, test } from "vitest";
import walls from "../../tools/walls.config.mjs";
import { listFiles, root } from "./repository.ts";

async function cruiseIn(folder: string): Promise<ICruiseResult> {
  const { options, ...ruleSet } = walls;
  const result = await cruise(["packages/sagaz/src"], {
    ...options,
    baseDir: folder,
    validate: true,
    ruleSet,
  });
  return result.output as ICruiseResult;
}

/** What each room must not reach: the rule that says so, the file that breaks it, and its one import. */
const offences = [
  { rule: "core stays in", file: "core/a.ts", code: 'import type { T } from "../runtime/x.ts";' },
  { rule: "core stays in", file: "core/b.ts", code: 'import "node:crypto";' },
  { rule: "ports stays in", file: "ports/a.ts", code: 'import "../runtime/x.ts";' },
  { rule: "runtime stays in", file: "runtime/a.ts", code: 'import "../storage/memory/x.ts";' },
  { rule: "runtime stays in", file: "runtime/b.ts", code: 'import "node:fs";' },
  { rule: "storage stays in", file: "storage/memory/a.ts", code: 'import "../../runtime/x.ts";' },
  { rule: "storage stays in", file: "storage/postgres/a.ts", code: 'import "../memory/x.ts";' },
  { rule: "storage stays in", file: "storage/postgres/sql/a.ts", code: 'import "../../../runtime/x.ts";' },
  { rule: "brokers stays in", file: "brokers/kafka/a.ts", code: 'import "../memory/x.ts";' },
  { rule: "observe stays in", file: "observe/otel/a.ts", code: 'import "../../storage/memory/x.ts";' },
  { rule: "testing stays in", file: "testing/a.ts", code: 'import "../storage/postgres/x.ts";' },
  { rule: "transactions stays in", file: "transactions/a.ts", code: 'import "../storage/postgres/x.ts";' },
  {
    rule: "transactions stays in",
    file: "transactions/b.ts",
    code: 'import type { Pool } from "pg";\nexport type P = Pool;',
  },
  { rule: "front door shows rooms only", file: "index.ts", code: 'export * from "./storage/postgres/x.ts";' },
  {
    rule: "no driver in the library",
    file: "storage/postgres/c.ts",
    code: 'import { Pool } from "pg";\nnew Pool();',
  },
  {
    rule: "optional peers are imported late",
    file: "storage/create.ts",
    code: 'import { Pool } from "pg";\nnew Pool();',
  },
  { rule: "shipped code stands alone", file: "storage/memory/b.ts", code: 'import "../../core/x.test.ts";' },
  { rule: "storage stays in", file: "storage/redis/a.ts", code: 'import "../postgres/x.ts";' },
  { rule: "storage/embedded stays in", file: "storage/embedded/a.ts", code: 'import "../memory/x.ts";' },
  { rule: "no cycles", file: "core/c.ts", code: 'import "./d.ts";' },
  { rule: "everything resolves", file: "core/e.ts", code: 'import "./nowhere.ts";' },
  { rule: "core stays in", file: "core/e.ts", code: 'import "./nowhere.ts";' },
];

/** Files that keep within the walls, some only just. */
const within = {
  "core/x.ts": "export type T = 1;",
  "core/d.ts": 'import "./c.ts";',
  "core/x.test.ts": 'import "../runtime/x.ts";\nimport "../storage/memory/x.ts";\nimport "node:fs";',
  "ports/x.ts": 'import "../core/x.ts";',
  "runtime/x.ts":
    'import "../core/x.ts";\nimport "../ports/x.ts";\nimport "node:crypto";\nexport type T = 1;',
  "storage/memory/x.ts": 'import "../../ports/x.ts";\nimport "node:util";',
  "storage/postgres/x.ts": 'import type { Pool } from "pg";\nexport type P = Pool;',
  "storage/embedded/x.ts": 'import "../postgres/x.ts";\nexport const load = () => import("pg");',
  "storage/redis/x.ts": 'import "../../ports/x.ts";',
  "brokers/memory/x.ts": 'import "../../core/x.ts";',
  "brokers/create.ts": 'export const load = () => import("pg");',
  "transactions/x.ts": 'import "../core/x.ts";',
  "testing/x.ts": 'import "../runtime/x.ts";\nimport "../storage/memory/x.ts";\nimport "node:assert/strict";',
};

let planted: string;

beforeAll(() => {
  planted = mkdtempSync(join(tmpdir(), "sagaz-walls-"));
  symlinkSync(join(root, "node_modules"), join(planted, "node_modules"));
  writeFileSync(
    join(planted, "package.json"),
    JSON.stringify({ type: "module", devDependencies: { pg: "*" } }),
  );
  const files = [...Object.entries(within), ...offences.map(({ file, code }) => [file, code] as const)];
  for (const [file, code] of files) {
    const path = join(planted, "packages/sagaz/src", file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${code}\n`);
  }
});

afterAll(() => {
  rmSync(planted, { recursive: true, force: true });
});

test("each planted violation is caught by its own rule, and nothing else is", async () => {
  const { summary } = await cruiseIn(planted);
  const found = summary.violations.map(({ rule, from }) => `${rule.name}: ${from}`);
  const expected = offences.map(({ rule, file }) => `${rule}: packages/sagaz/src/${file}`);
  expect(found.toSorted()).toEqual(expected.toSorted());
});

test("the walls are held over every module of the library", async () => {
  const { modules, summary } = await cruiseIn(root);
  const seen = new Set(modules.map(({ source }) => source));
  const sources = listFiles(/^packages\/sagaz\/src\/.*(?<!\.generated)\.ts$/);
  console.log(`looked at ${seen.size} modules, ${summary.totalDependenciesCruised ?? 0} imports`);
  expect(sources.filter((path) => !seen.has(path))).toEqual([]);
  expect(sources.length).toBeGreaterThan(0);
});
