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

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        write: { type: "boolean", default: false },
        only: { type: "string" },
      },
    });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n`);
    return undefined;
  }
}

async function main(): Promise<void> {
  const given = readArguments();
  const only = given?.values.only?.split(",");
  if (given?.positionals.join() !== "engine" || only?.some((name) => !systemNames.includes(name))) {
    process.stderr.write(usage);
    process.exitCode = 2;
    return;
  }
  const { values } = given;
  const plan = values.quick ? quickPlan : fullPlan;
  const { report, ratios } = await runEngineBench({ ...plan, systems: only ?? plan.systems }, showProgress);
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
