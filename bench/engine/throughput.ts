import { runSql, type TestDatabase } from "../../tools/servers/postgres-databases.ts";
import { inTurn, type Bench, type Candidate } from "./bench.ts";
import { commitsOf } from "../counters.ts";
import { comparedLevel, levels } from "./plan.ts";
import { timePart, type Part } from "./timed-part.ts";

/** A system's place in one round. */
interface Place {
  readonly candidate: Candidate;
  /** Empty when the round begins; the round's parts share it. */
  readonly database: TestDatabase;
  /** Commits of a session without a saga: connecting, checking the schema, closing. */
  readonly openingCommits: number;
}

/**
 * Sagas per second, latency and cost: every system at every level, then with a failing third step; one round
 * after the other, so that a machine that slows down slows everyone.
 */
export async function measureThroughput(bench: Bench): Promise<void> {
  for (const candidate of bench.candidates) await compile(bench, candidate);
  for (let round = 0; round < bench.plan.rounds; round += 1) {
    const places = await Promise.all(inTurn(bench, round).map((candidate) => takePlace(bench, candidate)));
    for (const inFlight of levels) {
      for (const place of places) {
        const { name } = place.candidate.description;
        bench.progress(`round ${round + 1}/${bench.plan.rounds}: ${name}, ${inFlight} in flight`);
        await measureLevel(bench, place, inFlight);
      }
    }
    for (const place of places) await measureFailing(bench, place);
    await Promise.all(places.map(({ database }) => database.drop()));
  }
}

/** A process that has run nothing yet is slow for seconds, whoever it belongs to: nobody is measured in that time. */
async function compile(
  { plan, server, progress }: Bench,
  { description, host, template }: Candidate,
): Promise<void> {
  progress(`warming up ${description.name}`);
  const database = await server.postgres.createDatabase({ name: "compile", template });
  await host.call("open", { url: database.url, inFlight: comparedLevel });
  // One at a time may be other code than many at a time.
  for (const [inFlight, share, fails] of [
    [comparedLevel, 0.5, false],
    [comparedLevel, 0.2, true],
    [1, 0.3, false],
  ] as const) {
    await host.call("drive", { inFlight, forMs: plan.compileMs * share, fails });
  }
  await host.call("close");
  await database.drop();
}

async function takePlace({ server }: Bench, candidate: Candidate): Promise<Place> {
  const database = await server.postgres.createDatabase({ name: "round", template: candidate.template });
  await candidate.host.call("open", { url: database.url, inFlight: comparedLevel });
  await candidate.host.call("close");
  return { candidate, database, openingCommits: await commitsOf(server, database.name) };
}

async function measureLevel(bench: Bench, place: Place, inFlight: number): Promise<void> {
  const { candidate, database } = place;
  const load = { inFlight, forMs: bench.plan.partMs, fails: false };
  const part = await timePart(bench, candidate, { database, load });
  addPart(bench, place, { inFlight, part });
  const { name, journalRowsPerSagaSql: sql } = candidate.description;
  if (sql === undefined || inFlight !== levels.at(-1)) return;
  const [result] = await runSql(database.url, sql);
  const rowsPerSaga = (result?.rows[0] as { n: number } | undefined)?.n ?? Number.NaN;
  bench.samples.add(
    { measure: "journal_rows_per_s", inFlight, system: name, unit: "1/s" },
    part.perSecond * rowsPerSaga,
  );
}

function addPart(
  { samples }: Bench,
  { candidate, openingCommits }: Place,
  { inFlight, part }: { inFlight: number; part: Part },
): void {
  const system = candidate.description.name;
  const add = (measure: string, unit: string, value: number | undefined) =>
    samples.add({ measure, inFlight, system, unit }, value);
  const each = (total: number | undefined) => (total === undefined ? undefined : total / part.sagas);
  const cpuEach = (ms: number | undefined) => each(ms === undefined ? undefined : ms * 1000);
  add("sagas_per_s", "1/s", part.perSecond);
  add("p50", "ms", part.p50Ms);
  add("p99", "ms", part.p99Ms);
  add("commits_per_saga", "", (part.sessionCommits - openingCommits) / part.sessionSagas);
  add("writing_commits_per_saga", "", each(part.writingCommits));
  add("wal_bytes_per_saga", "B", each(part.walBytes));
  add("node_cpu_per_saga", "µs", cpuEach(part.nodeCpuMs));
  add("postgres_cpu_per_saga", "µs", cpuEach(part.postgresCpuMs));
}

async function measureFailing(bench: Bench, { candidate, database }: Place): Promise<void> {
  const { name } = candidate.description;
  bench.progress(`${name}, failing third step`);
  const load = { inFlight: comparedLevel, forMs: bench.plan.partMs, fails: true };
  const part = await timePart(bench, candidate, { database, load });
  const subject = { inFlight: comparedLevel, system: name };
  bench.samples.add({ ...subject, measure: "failing_sagas_per_s", unit: "1/s" }, part.perSecond);
  bench.samples.add({ ...subject, measure: "failing_p50", unit: "ms" }, part.p50Ms);
}
