import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { need, must } from "../../core/must.ts";
import type { InboxAnswer, InboxRequest, InboxStorage, InboxWork } from "../../ports/inbox.ts";
import type { Database } from "./database.ts";
import { toPendingText } from "./events.ts";
import { cannot } from "./journal.ts";
import { inboxScripts as scripts } from "./scripts/inbox.ts";
import type { Transactions } from "./transactions.ts";

/** Delays between looks while another one works on the same message. */
const lookMs = { first: 2, most: 50 };

/** Messages that are locked while their work is under way. */
interface Locks {
  readonly consumer: string;
  readonly ids: readonly string[];
  readonly token: string;
  readonly lockMs: number;
}

/**
 * What consumers have processed, in Redis.
 *
 * There is no transaction that waits for a handler, so a message is locked while its work is under way, and what the work
 * has published, its result and the note that it is done are written by one script at its end: all or nothing, and only
 * if the lock was held to the end.
 */
export function inboxIn(database: Database, transactions: Transactions): InboxStorage {
  return {
    async process(request, work) {
      const locks: Locks = {
        consumer: `${request.consumerName.length}:${request.consumerName}`,
        ids: request.messages.map(({ eventId }) => eventId),
        token: randomUUID(),
        lockMs: Math.ceil(request.idleMsMax),
      };
      const known = await lock(database, locks);
      const fresh = known.flatMap((result, n) => (result === "" ? [n] : []));
      const results = await workOn(database, transactions, { request, locks, fresh, work });
      return known.map((result, n) => {
        const place = fresh.indexOf(n);
        if (place < 0) return { isDuplicate: true, result: fromResult(result) };
        return { isDuplicate: false, result: results[place] ?? null };
      });
    },
    async processIn(): Promise<readonly InboxAnswer[]> {
      throw cannot("note a message in the caller's transaction");
    },
  };
}

/** Locks all that is new, or waits: who holds some of it while it waits for the rest would hold up others, and they it. */
async function lock(database: Database, locks: Locks): Promise<readonly string[]> {
  for (let delayMs = lookMs.first; ; delayMs = Math.min(delayMs * 2, lookMs.most)) {
    const known = await database.write<string[] | null>({ script: scripts.lock, request: locks });
    if (known) return known;
    await sleep(delayMs);
  }
}

interface Job {
  readonly request: InboxRequest;
  readonly locks: Locks;
  readonly fresh: readonly number[];
  readonly work: InboxWork;
}

async function workOn(
  database: Database,
  transactions: Transactions,
  { request, locks, fresh, work }: Job,
): Promise<readonly (string | null)[]> {
  if (fresh.length === 0) return [];
  const held = { ...locks, ids: fresh.map((n) => need(locks.ids[n], "a place has its message")) };
  const tx = transactions.begin();
  // A process that is frozen, or cut off, does not come to this, and its locks go away.
  const keeping = setInterval(() => {
    void database.write({ script: scripts.extend, request: held }).catch(() => {});
  }, held.lockMs / 3);
  try {
    const results = await work(tx, fresh);
    must(results.length === fresh.length, "each new message has a result");
    await commit(database, { held, results, events: transactions.eventsOf(tx), request });
    return results;
  } catch (error) {
    await database.write({ script: scripts.unlock, request: held }).catch(() => {});
    throw error;
  } finally {
    clearInterval(keeping);
    transactions.end(tx);
  }
}

interface Commit {
  readonly held: Locks;
  readonly results: readonly (string | null)[];
  readonly events: ReturnType<Transactions["eventsOf"]>;
  readonly request: InboxRequest;
}

async function commit(database: Database, { held, results, events }: Commit): Promise<void> {
  const notes = held.ids.flatMap((id, n) => [
    toResult(results[n] ?? null),
    JSON.stringify([held.consumer, id]),
  ]);
  const call = {
    script: scripts.commit,
    request: { ...held, shards: events.map(({ shard }) => shard) },
    texts: [...notes, ...events.map(toPendingText)],
  };
  await database.keep(call);
}

/** A result as it is kept: never empty. */
function toResult(result: string | null): string {
  return result === null ? "-" : `:${result}`;
}

function fromResult(kept: string): string | null {
  return kept === "-" ? null : kept.slice(1);
}
