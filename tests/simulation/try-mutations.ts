import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { mutations } from "./mutations.ts";
import type { Mutation } from "./mutation.ts";
import type { Report } from "./seeds.ts";

const root = join(import.meta.dirname, "../..");
const sources = "packages/sagaz/src";
/** A mutation that these seeds do not notice, lives. */
const seedsMax = 3_000;
/** A mutant that takes longer is no proof of anything, on a slow machine as little as in an endless loop. */
const limitMs = 900_000;

/** The source with the mutation in it. Throws when its text is not there exactly once: then it proves nothing. */
export function mutate({ name, file, text, replacement }: Mutation): string {
  const source = readFileSync(join(root, sources, file), "utf8");
  const count = source.split(text).length - 1;
  if (count !== 1)
    throw new Error(`mutation "${name}": its text occurs ${count} times in ${file}, not once. Adapt it.`);
  return source.replace(text, () => replacement);
}

/**
 * Breaks a copy of the engine in each way whose name has one of these texts, and demands that a simulation notices. Says whether all were noticed. One that
 * comes to no end is not noticed, and keeps the others from nothing.
 */
export async function tryMutations(only: readonly string[] = [""]): Promise<boolean> {
  const unknown = only.find((text) => !mutations.some(({ name }) => name.includes(text)));
  if (unknown !== undefined) throw new Error(`no mutation's name contains "${unknown}"`);
  const waiting = mutations.filter(({ name }) => only.some((text) => name.includes(text)));
  const total = waiting.length;
  let noticed = 0;
  const work = async () => {
    for (let mutation = waiting.shift(); mutation; mutation = waiting.shift()) {
      const { verdict, detail } = await judge(mutation);
      console.log(`${verdict}  ${mutation.name}: ${detail}`);
      if (verdict === "noticed") noticed += 1;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  console.log(`${noticed} of ${total} mutations were noticed.`);
  return noticed === total;
}

async function judge(mutation: Mutation): Promise<{ verdict: string; detail: string }> {
  try {
    const broken = await tryOne(mutation);
    if (broken === undefined) return { verdict: "MISSED ", detail: `${seedsMax} seeds saw nothing` };
    return { verdict: "noticed", detail: broken };
  } catch (error) {
    return { verdict: "NO END ", detail: error instanceof Error ? error.message : String(error) };
  }
}

/** Answers which law was broken, and by which seed; undefined when none was. */
async function tryOne(mutation: Mutation): Promise<string | undefined> {
  const mutant = mutate(mutation);
  const folder = mkdtempSync(join(tmpdir(), "sagaz-mutation-"));
  try {
    copySources(folder);
    writeFileSync(join(folder, sources, mutation.file), mutant);
    return await simulateIn(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function copySources(folder: string): void {
  mkdirSync(join(folder, "tests"), { recursive: true });
  const filter = (path: string) => !/\.test(-d)?\.ts$/.test(path);
  cpSync(join(root, sources), join(folder, sources), { recursive: true, filter });
  cpSync(join(root, "tests/simulation"), join(folder, "tests/simulation"), { recursive: true, filter });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
}

/** Answers which law was broken, and by which seed; undefined when none was. */
function simulateIn(folder: string): Promise<string | undefined> {
  const program = join(folder, "tests/simulation/main.ts");
  const args = ["--share", "0/1", "--seeds", String(seedsMax), "--failures", "1"];
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  let text = "";
  let complaint = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  child.stderr.setEncoding("utf8").on("data", (part: string) => (complaint += part));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === null) return reject(new Error(`the mutant did not come back within ${limitMs} ms`));
      if (code !== 0) return reject(new Error(`the mutant did not run: ${complaint.slice(-2_000)}`));
      const [failure] = (JSON.parse(text) as Report).failures;
      resolve(failure && `${failure.breaches[0]?.law ?? ""} (seed ${failure.seed})`);
    });
  });
}
