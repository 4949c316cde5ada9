import { parseArgs } from "node:util";
import * as delivery from "./delivery/plan.ts";
import { partNames } from "./delivery/parts.ts";
import { runDeliveryBench } from "./delivery/run.ts";
import * as engine from "./engine/plan.ts";
import { runEngineBench } from "./engine/run.ts";
import { systemNames } from "./engine/systems.ts";
import { toMarkdown, type Finished } from "./report.ts";
import { keepResults } from "./results.ts";

const usage = `Usage: npm run bench -- engine|delivery [--quick] [--json] [--write] [--only a,b]

  --quick   the same measures in about a minute, with little or no history in the tables
  --json    one JSON document on the standard output (run npm with --silent, or it adds its banner)
  --write   keeps the run in bench/results.md
  --only    engine: only these systems: ${systemNames.join(", ")}; redis: journal rows on Redis
            delivery: only these parts: ${partNames.join(", ")}
`;

interface Arguments {
  readonly benchmark: Benchmark;
  readonly quick: boolean;
  readonly json: boolean;
  readonly write: boolean;
  readonly only: readonly string[] | undefined;
}

/** What is measured by itself. */
interface Benchmark {
  /** What `--only` can name. */
  readonly parts: readonly string[];
  run(wish: Pick<Arguments, "quick" | "only">): Promise<Finished>;
}

const benchmarks: Readonly<Record<string, Benchmark>> = {
  engine: {
    parts: [...systemNames, "redis"],
    run({ quick, only }) {
      const plan = quick ? engine.quickPlan : engine.fullPlan;
      const parts = only ?? [...plan.systems, "redis"];
      const systems = parts.filter((part) => part !== "redis");
      return runEngineBench({ ...plan, systems, redis: parts.includes("redis") }, showProgress);
    },
  },
  delivery: {
    parts: partNames,
    run({ quick, only }) {
      const plan = quick ? delivery.quickPlan : delivery.fullPlan;
      return runDeliveryBench({ ...plan, parts: only ?? partNames }, showProgress);
    },
  },
};

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
  const name = positionals.join();
  const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
  if (benchmark === undefined)
    throw new TypeError(`Say what to measure: ${Object.keys(benchmarks).join(" or ")}.`);
  const only = values.only?.split(",");
  const unknown = only?.find((part) => !benchmark.parts.includes(part));
  if (unknown !== undefined) throw new TypeError(`There is no "${unknown}" in ${name}.`);
  return { ...values, benchmark, only };
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
  const finished = await values.benchmark.run(values);
  const text = toMarkdown(finished);
  (values.json ? process.stderr : process.stdout).write(text);
  if (values.json) process.stdout.write(`${JSON.stringify(finished.report, null, 2)}\n`);
  if (values.write) await keepResults(text);
}

/** On a terminal one line that changes; in a log a line each, so that one sees how far it came. */
function showProgress(what: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\u001B[K${what} ` : `${what}\n`);
}

await main();
