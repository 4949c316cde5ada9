import type { ProjectedRow, UpkeepStore } from "../../ports/storage.ts";
import type { Database } from "./database.ts";
import { toClaimed, type ClaimAnswer } from "./leases.ts";
import { toChanging, toProjected, toProjectedFixed } from "./rows.ts";
import { leaseScripts } from "./scripts/leases.ts";
import { upkeepScripts } from "./scripts/upkeep.ts";

const dayMs = 86_400_000;
/** How long a refusal is kept for its sender to see. */
const refusedMs = dayMs;
/** How long a message is recognised that was processed, and an event shown that was seen. */
const keptMs = 35 * dayMs;
/** Rows that are written in one go. */
const rowsPerWrite = 100;

/** If nobody has said anything else. */
const endedKeptDaysDefault = 366;

/**
 * Sets how many days sagas that have ended are kept, if it is given, and tells. It stands in Redis, for all processes: a relay that is
 * told nothing must not remove what the application beside it wants to keep.
 */
export async function keptDays(database: Database, endedKeptDays?: number): Promise<number> {
  const request = endedKeptDays === undefined ? {} : { endedKeptDays };
  return (await database.write<number>({ script: upkeepScripts.retention, request })) || endedKeptDaysDefault;
}

/** What keeps Redis in shape. */
export function upkeepIn(database: Database): UpkeepStore {
  return {
    async maintain() {
      const endedMs = (await keptDays(database)) * dayMs;
      const call = { script: upkeepScripts.forget, request: { refusedMs, keptMs, endedMs } };
      while ((await database.write<number>(call)) === 1);
      for (const kind of await database.read<string[]>("SMEMBERS", "endings"))
        await removeEnded(database, kind, endedMs);
    },
    async claimOrphans({ epoch, missingMs, limit }) {
      const request = { epoch: String(epoch), missingMs, limit };
      return (await database.write<ClaimAnswer[]>({ script: leaseScripts.claimOrphans, request })).map(
        toClaimed,
      );
    },
    async writeProjections(rows) {
      for (let n = 0; n < rows.length; n += rowsPerWrite)
        await project(database, rows.slice(n, n + rowsPerWrite));
    },
  };
}

async function removeEnded(database: Database, kind: string, endedMs: number): Promise<void> {
  for (let skip = 0, more = 1; more === 1;) {
    const call = { script: upkeepScripts.removeEnded, request: { kind, endedMs, skip } };
    const [left, rest] = await database.write<[number, number]>(call);
    skip += left;
    more = rest;
  }
}

/** Who owns a saga and when it wakes is not in its journal, so that stays. */
async function project(database: Database, rows: readonly ProjectedRow[]): Promise<void> {
  const texts = rows.flatMap((row) => [toChanging(row), toProjectedFixed(row)]);
  await database.keep({ script: upkeepScripts.project, request: { rows: rows.map(toProjected) }, texts });
}
