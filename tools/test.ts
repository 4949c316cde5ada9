/**
 * `npm test [-- filters, vitest options]`: builds the library, starts what the tests need, runs every tier,
 * names what was skipped and why, and closes with `N passed, N failed, N skipped`.
 */
import { spawnSync } from "node:child_process";
import { relative } from "node:path";
import { createVitest, parseCLI, type TestSpecification } from "vitest/node";
import {
  logicalSettings,
  postgresUrlVariable,
  startPostgres,
  type TestPostgres,
} from "./servers/postgres.ts";
import { closingLine, objections, tally, type Skipped, type Tally } from "./tally.ts";

/** The vitest projects whose global set-up needs a PostgreSQL. */
const tiersOnPostgres = new Set(["int", "system", "chaos"]);

const noSkips = process.env["CI"] === "true";

const nothing: Tally = { passed: 0, failed: 0, skipped: [] };

function build(): boolean {
  return spawnSync("npm", ["run", "--silent", "build"], { stdio: "inherit" }).status === 0;
}

async function startPostgresOrSay(): Promise<TestPostgres | string> {
  try {
    return await startPostgres({ settings: logicalSettings });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function toSkippedFile(specification: TestSpecification, reason: string): Skipped {
  return { name: relative(process.cwd(), specification.moduleId), reason };
}

interface Selection {
  readonly filter: string[];
  readonly options: NonNullable<Parameters<typeof createVitest>[1]>;
}

async function select(selection: Selection): Promise<TestSpecification[]> {
  const vitest = await createVitest("test", selection.options);
  try {
    return await vitest.globTestSpecifications(selection.filter);
  } finally {
    await vitest.close();
  }
}

async function run({ filter, options }: Selection): Promise<Tally> {
  const vitest = await createVitest("test", options);
  try {
    const { testModules, unhandledErrors } = await vitest.start(filter);
    const result = tally(testModules);
    // An error outside every test has been printed by vitest; here it must count, or the run would look good.
    return unhandledErrors.length > 0 && result.failed === 0
      ? { ...result, failed: unhandledErrors.length }
      : result;
  } finally {
    await vitest.close();
  }
}

async function runWithPostgres(selection: Selection): Promise<Tally> {
  const server = await startPostgresOrSay();
  if (typeof server === "string") return runWithoutPostgres(selection, server);
  process.env[postgresUrlVariable] = server.url; // the global set-up of each tier takes it from here
  try {
    return await run(selection);
  } finally {
    await server.stop();
  }
}

async function runWithoutPostgres({ filter, options }: Selection, reason: string): Promise<Tally> {
  const specifications = await select({ filter, options });
  const others = specifications
    .map(({ project }) => project.name)
    .filter((name) => !tiersOnPostgres.has(name));
  const result =
    others.length === 0 ? nothing : await run({ filter, options: { ...options, project: others } });
  const files = specifications.filter(({ project }) => tiersOnPostgres.has(project.name));
  return { ...result, skipped: [...result.skipped, ...files.map((file) => toSkippedFile(file, reason))] };
}

async function runTests(args: readonly string[]): Promise<Tally> {
  const { filter, options } = parseCLI(["vitest", "run", ...args]);
  const selection = { filter: [...filter], options: { ...options, watch: false, allowOnly: false } };
  const specifications = await select(selection);
  if (specifications.length === 0) return nothing;
  const needsPostgres = specifications.some(({ project }) => tiersOnPostgres.has(project.name));
  return needsPostgres ? runWithPostgres(selection) : run(selection);
}

/** With `-t name` the tests left out are the caller's choice, not skipped tests. */
function withoutUnselected(result: Tally, args: readonly string[]): Tally {
  const picksByName = args.some((arg) => /^(-t|--testNamePattern)/.test(arg));
  return picksByName ? { ...result, skipped: result.skipped.filter(({ reason }) => reason) } : result;
}

const args = process.argv.slice(2);
const result = build() ? withoutUnselected(await runTests(args), args) : { ...nothing, failed: 1 };
const bad = objections(result, { noSkips });
for (const { name, reason } of result.skipped)
  console.log(`skipped: ${name} (${reason ?? "no reason given"})`);
for (const objection of bad) console.log(`not good: ${objection}`);
console.log(closingLine(result));
process.exitCode = bad.length > 0 ? 1 : 0;
