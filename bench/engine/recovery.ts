import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import type { Bench, Candidate } from "./bench.ts";
import { allHaveLeft } from "../counters.ts";
import { recovery } from "./plan.ts";
import type { Audit } from "./system.ts";

/** No system needs this long; one that never finishes must not hang the bench. */
const finishMsMax = 120_000;

/** What came of one kill. */
interface Recovery {
  /** From the kill until the last saga has ended, in seconds; starting the next process is part of it. */
  readonly seconds: number;
  readonly inFlightAtKill: number;
  /** Actions that ran in both processes, the interrupted ones included. */
  readonly rerun: number;
  /** Those among them whose result was recorded before the kill: it should be none. */
  readonly recordedRerun: number;
}

/** Kills a process with sagas in their second step, starts another and watches the database until all have ended. */
export async function measureRecovery(bench: Bench, candidate: Candidate): Promise<void> {
  const { audit, name: system } = candidate.description;
  if (audit === undefined) return;
  for (let round = 0; round < bench.plan.recoveryRounds; round += 1) {
    const result = await recoverOnce(bench, candidate, audit);
    const add = (measure: string, unit: string, value: number) =>
      bench.samples.add({ measure, inFlight: recovery.sagas, system, unit }, value);
    add("recovery", "s", result.seconds);
    add("in_flight_at_kill", "", result.inFlightAtKill);
    add("steps_rerun", "", result.rerun);
    add("recorded_steps_rerun", "", result.recordedRerun);
  }
}

async function recoverOnce({ server }: Bench, candidate: Candidate, audit: Audit): Promise<Recovery> {
  const folder = await mkdtemp(path.join(tmpdir(), "sagaz-bench-"));
  const database = await server.postgres.createDatabase({ name: "recovery", template: candidate.template });
  const client = new pg.Client({ connectionString: database.url, application_name: "bench" });
  const [first, second] = [candidate.host.again(), candidate.host.again()];
  try {
    const before = path.join(folder, "before");
    const after = path.join(folder, "after");
    const options = { url: database.url, inFlight: recovery.sagas };
    await first.call("recordSteps", before);
    await first.call("open", options);
    await first.call("begin", recovery.sagas, recovery.chargeMs);
    await waitUntil(
      "all sagas are in their second step",
      async () => (await stepsIn(before)).filter((step) => step.endsWith(" charge")).length >= recovery.sagas,
      { withinMs: finishMsMax, everyMs: 20 },
    );
    await first.kill();
    const killedAt = performance.now();
    // What the dead process had sent is still being committed until its connections are gone.
    await allHaveLeft(server, database.name);
    await client.connect();
    const inFlightAtKill = await unfinished(client, audit);
    const recorded = await recordedSteps(client, audit);
    await second.call("recordSteps", after);
    await second.call("open", options);
    await waitUntil("all sagas have ended", async () => (await unfinished(client, audit)) === 0, {
      withinMs: finishMsMax,
      everyMs: 20,
    });
    const seconds = (performance.now() - killedAt) / 1000;
    await second.call("close");
    return { seconds, inFlightAtKill, ...compare(await stepsIn(before), await stepsIn(after), recorded) };
  } finally {
    await Promise.all([first.kill(), second.kill()]);
    await client.end();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Counts what ran in both processes, and what ran again although its result was recorded. */
export function compare(
  before: readonly string[],
  after: readonly string[],
  recorded: ReadonlySet<string>,
): Pick<Recovery, "rerun" | "recordedRerun"> {
  const ranBefore = new Set(before);
  return {
    rerun: after.filter((step) => ranBefore.has(step)).length,
    recordedRerun: after.filter((step) => recorded.has(step)).length,
  };
}

async function stepsIn(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

async function unfinished(client: pg.Client, { unfinishedSql }: Audit): Promise<number> {
  const { rows } = await client.query<{ n: number }>(unfinishedSql);
  return rows[0]?.n ?? Number.NaN;
}

async function recordedSteps(client: pg.Client, { recordedStepsSql }: Audit): Promise<Set<string>> {
  const { rows } = await client.query<{ order_id: string; step: string }>(recordedStepsSql);
  return new Set(rows.map(({ order_id, step }) => `${order_id} ${step}`));
}
