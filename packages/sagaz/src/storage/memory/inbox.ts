import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";
import { must } from "../../core/must.ts";
import type { InboxAnswer, InboxRequest, InboxStorage, InboxWork } from "../../ports/inbox.ts";
import type { Noted } from "./inbox-table.ts";
import type { Tables } from "./tables.ts";
import type { Transactions } from "./transactions.ts";

/** What consumers have processed, in memory. */
export function inboxIn(tables: Tables, transactions: Transactions): InboxStorage {
  return {
    async process(request, work) {
      const noted = await noteAll(tables, request);
      // What is published by the work exists if and only if the work succeeds.
      const transaction = transactions.begin();
      try {
        const answers = await processWith(tables, { request, noted, tx: transaction.tx }, work);
        await transaction.commit();
        for (const row of noted.values()) row.settle();
        return answers;
      } catch (error) {
        await transaction.rollback();
        for (const key of noted.keys()) tables.inbox.forget(key);
        throw error;
      }
    },
    async processIn() {
      throw new SagaError("SAGAZ_CANNOT", {
        storage: "memory",
        what: "note a message as processed in a transaction of the caller's",
      });
    },
  };
}

/** Notes what is new; whoever comes second waits until the first has succeeded, or given up. In one order, as everyone. */
async function noteAll(
  tables: Tables,
  { consumerName, messages }: InboxRequest,
): Promise<ReadonlyMap<string, Noted>> {
  const noted = new Map<string, Noted>();
  const keys = messages.map(({ eventId }) => keyOf(consumerName, eventId)).sort();
  for (const key of keys) {
    let known = tables.inbox.find(key);
    while (known && !noted.has(key)) {
      await known.settled;
      const now = tables.inbox.find(key);
      if (now === known) break;
      known = now;
    }
    if (!known) noted.set(key, tables.inbox.note(key, tables.now()));
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
