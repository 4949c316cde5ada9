import type { SqlRunner } from "../../core/definition/context.ts";
import type { AddedEvents, OutboxRow } from "../../ports/outbox.ts";
import { cannot } from "./journal.ts";

/** What the work of an inbox has published so far; written together with the note that it is done. */
interface OpenWork {
  readonly createdAt: number;
  readonly events: OutboxRow[];
  readonly added: { readonly count: number; readonly ids: number[] }[];
}

/** Work of inboxes that is under way, each by the `tx` that it was given. Redis has no transaction that waits for a client. */
export class Transactions {
  readonly #open = new Map<SqlRunner, OpenWork>();

  begin(now: number): SqlRunner {
    // A function of its own for each: it is what the work is recognised by.
    const tx: SqlRunner = refuse.bind(undefined);
    this.#open.set(tx, { createdAt: now, events: [], added: [] });
    return tx;
  }

  /** Their ids are known when the work is noted: the answer fills then. */
  add(tx: SqlRunner, events: readonly OutboxRow[]): AddedEvents {
    const work = this.#open.get(tx);
    if (!work) throw cannot("add events in the caller's transaction");
    const ids: number[] = [];
    work.events.push(...events);
    work.added.push({ count: events.length, ids });
    return { ids, createdAt: work.createdAt, behind: ids };
  }

  eventsOf(tx: SqlRunner): readonly OutboxRow[] {
    return this.#open.get(tx)?.events ?? [];
  }

  /** The work is noted, or given up: then there are no ids. */
  end(tx: SqlRunner, ids: readonly number[]): void {
    let from = 0;
    for (const added of this.#open.get(tx)?.added ?? []) {
      added.ids.push(...ids.slice(from, from + added.count));
      from += added.count;
    }
    this.#open.delete(tx);
  }
}

async function refuse(sql: string): Promise<never> {
  throw cannot(`run SQL (${sql})`);
}
