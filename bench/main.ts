import { writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { fullPlan, quickPlan } from "./engine/plan.ts";
import { toMarkdown } from "./engine/report.ts";
import { runEngineBench } from "./engine/run.ts";
import { systemNames } from "./engine/systems.ts";

const usage = `Usage: npm run bench -- engine [--quick] [--json] [--write] [--only a,b]

  --quick   the same measures in under a minute, without a history in the tables
  --json    one JSON document on the standard output (run npm with --silent, or it adds its banner)
  --write   keeps the run in bench/results.md
  --only    only these systems: ${systemNames.join(", ")}
`;

interface Arguments {
  readonly quick: boolean;
  readonly json: boolean;
  readonly write: boolean;
  readonly systems: readonly string[] | undefined;
}

/** @throws TypeError for what the usage does not know. */
function readArguments(): Arguments {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      only: { type: "string" },
    },
  });
  if (positionals.join() !== "engine") throw new TypeError('Say what to measure: "engine".');
  const systems = values.only?.split(",");
  const unknown = systems?.find((name) => !systemNames.includes(name));
  if (unknown !== undefined) throw new TypeError(`There is no system "${unknown}".`);
  return { ...values, systems };
}

async function main(): Promise<void> {
  let values: Arguments;
  try {
    values = readArguments();
  } catch (error) {
    process.stderr.write(`${(error as TypeError).message}\n\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const plan = values.quick ? quickPlan : fullPlan;
  const { report, ratios } = await runEngineBench(
    { ...plan, systems: values.systems ?? plan.systems },
    showProgress,
  );
  const text = toMarkdown(report, ratios);
  (values.json ? process.stderr : process.stdout).write(text);
  if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  if (values.write) await writeFile(path.join(import.meta.dirname, "results.md"), text);
}

/** On a terminal one line that changes; in a log a line each, so that one sees how far it came. */
function showProgress(what: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\u001B[K${what} ` : `${what}\n`);
}

await main();
