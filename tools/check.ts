/**
 * `npm run check [-- name …]`: every check of the repository that runs no saga, or only the named ones.
 * All are run even when one fails, so that one run shows all there is to mend.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const folders = ["packages/sagaz/src", "apps", "tests", "tools", "bench", "examples"].filter((folder) =>
  existsSync(folder),
);

const checks: Readonly<Record<string, readonly string[]>> = {
  types: ["tsc", "-b"],
  lint: ["oxlint", "--deny-warnings"],
  format: ["prettier", "--check", "--log-level=warn", "."],
  walls: ["depcruise", "--config", "tools/walls.config.mjs", ...folders],
  "dead-code": ["knip", "--no-config-hints"],
  api: ["tsx", "tools/api-report.ts"],
  publint: ["publint", "packages/sagaz", "--strict"],
  attw: ["attw", "--pack", "packages/sagaz", "--profile", "esm-only"],
  tidy: ["vitest", "run", "--project", "tidy"],
};

function run(name: string, command: readonly string[]): boolean {
  const startedAt = performance.now();
  const { status, stdout, stderr, error } = spawnSync("npx", ["--no-install", ...command], {
    encoding: "utf8",
  });
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  const lastLine = stdout.trim().split("\n").at(-1) ?? "";
  if (status === 0) console.log(`ok      ${name} (${seconds} s)  ${lastLine}`);
  else console.log(`FAILED  ${name} (${seconds} s)\n${stdout}${stderr}${error ?? ""}`);
  return status === 0;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in checks));
if (unknown.length > 0)
  throw new Error(`No check is called ${unknown.join(", ")}; there are ${Object.keys(checks).join(", ")}`);

const failed = Object.entries(checks)
  .filter(([name]) => wanted.length === 0 || wanted.includes(name))
  .filter(([name, command]) => !run(name, command))
  .map(([name]) => name);
console.log(failed.length === 0 ? "all checks passed" : `failed: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
