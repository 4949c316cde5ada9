import { runSql, type TestDatabase } from "../../tools/servers/postgres-databases.ts";
import type { Bench, Candidate } from "./bench.ts";
import { comparedLevel, historyMeasure } from "./plan.ts";
import { timePart } from "./timed-part.ts";

/**
 * The same work on tables that hold a long history, interleaved with empty ones. Each history has a database of
 * its own, vacuumed as a server at rest would have done it.
 */
export async function measureHistory(bench: Bench): Promise<void> {
  const { histories, rounds } = bench.plan;
  const candidate = bench.candidates.find(({ description }) => description.canFillHistory === true);
  if (candidate === undefined || histories.length === 0) return;
  const filled = new Map<number, TestDatabase>();
  for (const sagas of histories) filled.set(sagas, await fill(bench, candidate, sagas));
  for (let round = 0; round < rounds; round += 1) {
    const empty = await fill(bench, candidate, 0);
    for (const [sagas, database] of [[0, empty] as const, ...filled]) {
      bench.progress(`round ${round + 1}/${rounds}: after ${sagas} finished sagas`);
      await timeAfter(bench, candidate, { sagas, database });
    }
    await empty.drop();
  }
  for (const database of filled.values()) await database.drop();
}

async function fill(bench: Bench, { host, template }: Candidate, sagas: number): Promise<TestDatabase> {
  const database = await bench.server.postgres.createDatabase({ name: "history", template });
  if (sagas === 0) return database;
  bench.progress(`writing a history of ${sagas} sagas`);
  await host.call("fillHistory", database.url, sagas);
  await runSql(database.url, "VACUUM ANALYZE");
  return database;
}

async function timeAfter(
  bench: Bench,
  candidate: Candidate,
  { sagas, database }: { sagas: number; database: TestDatabase },
): Promise<void> {
  const load = { inFlight: comparedLevel, forMs: bench.plan.partMs, fails: false };
  const part = await timePart(bench, candidate, { database, load });
  const subject = { inFlight: comparedLevel, system: candidate.description.name };
  bench.samples.add({ ...subject, measure: historyMeasure(sagas), unit: "1/s" }, part.perSecond);
  bench.samples.add({ ...subject, measure: `p99_after_${sagas}`, unit: "ms" }, part.p99Ms);
}
