import type { Bench, Candidate } from "./bench.ts";
import { commitsOf, mark, since, type Spent } from "../counters.ts";
import type { Load, LoadResult } from "./load.ts";

/** One timed part: what the callers saw and what it cost. */
export interface Part extends LoadResult, Spent {
  readonly perSecond: number;
  /** Commits of the whole session: opening, warming up and closing included. */
  readonly sessionCommits: number;
  /** Sagas of the whole session. */
  readonly sessionSagas: number;
}

/** A database of the measured server. */
export interface PartDatabase {
  readonly name: string;
  readonly url: string;
}

/** More callers would only make warming up slow: connections, caches and compiled code are warm with these. */
const warmCallersMax = 16;

/** Runs one part as a session of its own: open, warm up, checkpoint, run, close. */
export async function timePart(
  { server, plan }: Bench,
  { host }: Candidate,
  { database, load }: { database: PartDatabase; load: Load },
): Promise<Part> {
  const commitsBefore = await commitsOf(server, database.name);
  await host.call("open", { url: database.url, inFlight: load.inFlight });
  const inFlight = Math.min(load.inFlight, warmCallersMax);
  // One caller gets round less often in the same time.
  const forMs = inFlight === 1 ? plan.warmMs * 3 : plan.warmMs;
  const warm = await host.call("drive", { ...load, inFlight, forMs });
  const from = await mark(server);
  const result = await host.call("drive", load);
  const spent = await since(server, from);
  await host.call("close");
  return {
    ...result,
    ...spent,
    perSecond: (result.sagas / result.elapsedMs) * 1000,
    sessionCommits: (await commitsOf(server, database.name)) - commitsBefore,
    sessionSagas: warm.sagas + result.sagas,
  };
}
