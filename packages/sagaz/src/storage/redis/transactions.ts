import type { SqlRunner } from "../../core/definition/context.ts";
import type { OutboxRow } from "../../ports/outbox.ts";
import { cannot } from "./journal.ts";

/** Work of inboxes that is under way, each by the `tx` that it was given. Redis has no transaction that waits for a client. */
export class Transactions {
  /** What it has published so far; written together with the note that it is done. */
  readonly #open = new Map<SqlRunner, OutboxRow[]>();

  begin(): SqlRunner {
    // A function of its own for each: it is what the work is recognised by.
    const tx: SqlRunner = refuse.bind(undefined);
    this.#open.set(tx, []);
    return tx;
  }

  add(tx: SqlRunner, events: readonly OutboxRow[]): void {
    const published = this.#open.get(tx);
    if (!published) throw cannot("add events in the caller's transaction");
    published.push(...events);
  }

  eventsOf(tx: SqlRunner): readonly OutboxRow[] {
    return this.#open.get(tx) ?? [];
  }

  /** The work is noted, or given up. */
  end(tx: SqlRunner): void {
    this.#open.delete(tx);
  }
}

async function refuse(sql: string): Promise<never> {
  throw cannot(`run SQL (${sql})`);
}
