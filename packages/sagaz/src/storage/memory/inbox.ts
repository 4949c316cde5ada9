import type { SqlRunner } from "../../core/definition/context.ts";
import { must } from "../../core/must.ts";
import type { InboxAnswer, InboxRequest, InboxStorage, InboxWork } from "../../ports/inbox.ts";
import type { Noted } from "./inbox-table.ts";
import type { Tables } from "./tables.ts";
import type { Transactions } from "./transactions.ts";

/** What consumers have processed, in memory. */
export function inboxIn(tables: Tables, transactions: Transactions): InboxStorage {
  const processIn = async (tx: SqlRunner, request: InboxRequest, work: InboxWork) => {
    const noted = await noteAll(tables, { request, tx });
    if (noted.size > 0) {
      transactions.get(tx).onEnd((hasCommitted) => {
        if (hasCommitted) for (const row of noted.values()) row.settle();
        else for (const key of noted.keys()) tables.inbox.forget(key);
      });
    }
    return processWith(tables, { request, noted, tx }, work);
  };
  return {
    async process(request, work) {
      // What is published by the work exists if and only if the work succeeds.
      const transaction = transactions.begin();
      try {
        const answers = await processIn(transaction.tx, request, work);
        await transaction.commit();
        return answers;
      } catch (error) {
        await transaction.rollback();
        throw error;
      }
    },
    processIn,
  };
}

/**
 * Notes what is new; whoever comes second waits until the first has succeeded, or given up. In one order, as everyone.
 * What the same transaction has noted is known to it at once.
 */
async function noteAll(
  tables: Tables,
  { request: { consumerName, messages }, tx }: { request: InboxRequest; tx: SqlRunner },
): Promise<ReadonlyMap<string, Noted>> {
  const noted = new Map<string, Noted>();
  const keys = messages.map(({ eventId }) => keyOf(consumerName, eventId)).sort();
  for (const key of keys) {
    let known = tables.inbox.find(key);
    while (known && known.tx !== tx) {
      await known.settled;
      const now = tables.inbox.find(key);
      if (now === known) break;
      known = now;
    }
    if (!known) noted.set(key, tables.inbox.note(key, { processedAt: tables.now(), tx }));
  }
  return noted;
}

async function processWith(
  tables: Tables,
  { request, noted, tx }: { request: InboxRequest; noted: ReadonlyMap<string, Noted>; tx: SqlRunner },
  work: InboxWork,
): Promise<readonly InboxAnswer[]> {
  const keys = request.messages.map(({ eventId }) => keyOf(request.consumerName, eventId));
  const fresh = keys.flatMap((key, n) => (noted.has(key) ? [n] : []));
  const results = fresh.length === 0 ? [] : await work(tx, fresh);
  must(results.length === fresh.length, "each new message has a result");
  for (const [place, n] of fresh.entries()) {
    const row = noted.get(keys[n] ?? "");
    if (row) row.result = results[place] ?? null;
  }
  return keys.map((key) => ({
    isDuplicate: !noted.has(key),
    result: tables.inbox.find(key)?.result ?? null,
  }));
}

function keyOf(consumerName: string, eventId: string): string {
  return JSON.stringify([consumerName, eventId]);
}
