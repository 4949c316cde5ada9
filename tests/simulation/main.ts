/**
 * `npm run simulate`: runs the engine through random worlds, each from one seed, each twice.
 *
 *   npm run simulate -- --seeds 10000       seeds 1 to 10000, on all cores (default 1000)
 *   npm run simulate -- --seed 4711         one seed, with its whole history
 *   npm run simulate -- --mutations         breaks the engine on purpose, and demands that the simulation notices
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { addSights } from "../../packages/sagaz/src/testing/simulator/history.ts";
import type { Sights } from "../../packages/sagaz/src/testing/simulator/history.ts";
import { tryMutations } from "./try-mutations.ts";
import { runWorlds } from "./worlds.ts";
import { runSeeds, toText } from "./seeds.ts";
import type { Failure, Report } from "./seeds.ts";
import { toLines, unseen } from "./sights.ts";

const usage = `Usage: npm run simulate -- [--seeds n [--from seed]] [--seed n] [--mutations [--only text]…]

  --seeds      so many seeds (default 1000), from seed 1 or --from
  --seed       one seed, with its whole history
  --mutations  breaks the engine on purpose, and demands that the simulation notices; --only: those whose name has a text
  --failures   stops each process after so many seeds that broke a law (default 3)
`;

function misused(message: string): never {
  process.stderr.write(`${message}\n\n${usage}`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        seeds: { type: "string", default: "1000" },
        from: { type: "string", default: "1" },
        seed: { type: "string" },
        mutations: { type: "boolean", default: false },
        only: { type: "string", multiple: true },
        /** For this program's own use: runs each n-th seed and prints a report as JSON. */
        share: { type: "string" },
        failures: { type: "string", default: "3" },
      },
    }).values;
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error));
  }
}

const values = readArguments();

function count(option: "seeds" | "from" | "seed" | "failures"): number {
  const number = Number(values[option]);
  if (Number.isSafeInteger(number) && number > 0) return number;
  return misused(`--${option} takes a whole number from 1 on, not "${values[option]}"`);
}

async function replay(seed: number): Promise<boolean> {
  const { lines } = await runWorlds(seed);
  for (const line of lines) console.log(line);
  const { failures } = await runSeeds({ from: seed, to: seed });
  for (const failure of failures) console.log(toText({ ...failure, tail: [] }));
  if (failures.length === 0) console.log(`seed ${seed}: ${lines.length} lines, no law broken`);
  return failures.length === 0;
}

/** One process a core: a seed is a world of its own. */
function runShare(share: number, shares: number): Promise<Report> {
  const range = (["from", "seeds", "failures"] as const).flatMap((option) => [
    `--${option}`,
    String(count(option)),
  ]);
  const args = ["--share", `${share}/${shares}`, ...range];
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? "", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(text) as Report);
      else reject(new Error(`a simulating process ended with exit code ${code}`));
    });
  });
}

async function runMany(): Promise<boolean> {
  const startedAt = performance.now();
  const shares = availableParallelism();
  const reports = await Promise.all(Array.from({ length: shares }, (_, share) => runShare(share, shares)));
  const sights: Sights = {};
  for (const report of reports) addSights(sights, report.sights);
  const failures = reports.flatMap(({ failures }) => failures).sort((a, b) => a.seed - b.seed);
  return sayMany(sights, { failures, seconds: (performance.now() - startedAt) / 1_000 });
}

function sayMany(
  sights: Sights,
  { failures, seconds }: { failures: readonly Failure[]; seconds: number },
): boolean {
  for (const failure of failures) console.log(`${toText(failure)}\n`);
  const histories = sights.histories ?? 0;
  console.log(`${histories} seeds, each run twice and compared, in ${seconds.toFixed(1)} s. Seen:`);
  for (const line of toLines(sights)) console.log(line);
  const missing = unseen(sights);
  if (missing.length > 0) console.log(`NOT SEEN, so not tested: ${missing.join(", ")}. Run more seeds.`);
  console.log(failures.length === 0 ? "No law was broken." : `${failures.length} seeds broke a law.`);
  return failures.length === 0 && missing.length === 0;
}

async function runOwnShare(text: string): Promise<void> {
  const [share = 0, shares = 1] = text.split("/").map(Number);
  const from = count("from");
  const to = from + count("seeds") - 1;
  const failuresMax = count("failures");
  const report = await runSeeds({ from: from + share, to, step: shares, failuresMax });
  process.stdout.write(JSON.stringify(report));
}

async function run(): Promise<boolean> {
  if (values.mutations) return tryMutations(values.only);
  if (values.seed !== undefined) return replay(count("seed"));
  return runMany();
}

if (values.share === undefined) process.exitCode = (await run()) ? 0 : 1;
else await runOwnShare(values.share);
