import type { ProjectedRow, UpkeepStore } from "../../ports/storage.ts";
import { ClaimRoom } from "./claim-room.ts";
import { takeDue } from "./leases.ts";
import { forgetRefused } from "./mailbox.ts";
import type { Tables } from "./tables.ts";

/** How long a refusal is kept for its sender to see. */
const refusalMs = 86_400_000;
/** How long a message is recognised that was processed, and an event shown that was seen. */
const messagesKeptMs = 35 * 86_400_000;
/** How long a participant remembers what it was last asked about. */
const effectsKeptMs = 396 * 86_400_000;

/** What keeps the tables in shape, in memory. */
export function upkeepIn(tables: Tables): UpkeepStore {
  return {
    async maintain() {
      forgetRefused(tables, tables.now() - refusalMs);
      tables.inbox.clear(tables.now() - messagesKeptMs);
      tables.flows.clear(tables.now() - messagesKeptMs);
      tables.effects.clear(tables.now() - effectsKeptMs);
    },
    async claimOrphans({ epoch, missingMs, limit }) {
      if (!tables.workers.has(epoch)) return [];
      const since = tables.now() - missingMs;
      const missing = [...tables.definitions.values()].filter(
        ({ holders, missingSince }) => holders.size === 0 && missingSince <= since,
      );
      const room = new ClaimRoom(
        { limit },
        missing.map((record) => [record, undefined]),
      );
      return takeDue(tables, epoch, room);
    },
    async writeProjections(rows) {
      for (const row of rows) writeProjection(tables, row);
    },
  };
}

/** A row as its journal tells it; who owns it and when it wakes is not in the journal, so that stays. */
function writeProjection(tables: Tables, row: ProjectedRow): void {
  const saga = tables.sagas.get(row.sagaId);
  const ended = row.finishedAt !== null && saga?.finishedAt !== row.finishedAt;
  if (saga) {
    const { owner, wakeAt, adoptions, createdAt } = saga;
    // Its tenant tells where it waits: it leaves that place before it changes.
    tables.setOwner(saga, { owner, wakeAt: null });
    Object.assign(saga, row, { owner, wakeAt: null, adoptions, createdAt });
    tables.setOwner(saga, { owner, wakeAt });
    tables.index(saga);
  } else {
    tables.insert({ ...row, owner: null, adoptions: 0 });
  }
  const written = tables.sagas.get(row.sagaId);
  if (ended && written) tables.noteEnd(written);
}
