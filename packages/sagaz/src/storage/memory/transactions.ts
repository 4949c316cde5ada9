import type { SqlRunner } from "../../core/definition/context.ts";
import { SagaError } from "../../core/errors.ts";
import type { AddedEvent, OutboxRow } from "../../ports/outbox.ts";
import type { KeyedOutcome, StartRow } from "../../ports/storage.ts";
import { checkStart } from "./checks.ts";
import { commitStart, findByKey, toKey } from "./starts.ts";
import type { Tables } from "./tables.ts";

/**
 * A transaction of the caller's own, in memory: what is started in it exists if and only if it commits.
 *
 * It carries starts, events of the outbox and notes of the inbox, and nothing else: memory understands no SQL, and `tx` refuses any with `SAGAZ_CANNOT`.
 */
export interface InMemoryTransaction {
  /** Pass it as `tx` to a start, or to the outbox. */
  readonly tx: SqlRunner;
  /** Makes the starts happen, the events be published, and the messages be processed. `SAGAZ_CONFLICT`: an id was taken meanwhile, and none happens. */
  commit(): Promise<void>;
  /** Forgets them. */
  rollback(): Promise<void>;
}

/** Transactions that are open, and the keys that they hold until they end. */
export class Transactions {
  readonly #tables: Tables;
  readonly #open = new Map<SqlRunner, OpenTransaction>();

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  begin(): InMemoryTransaction {
    // A function of its own for each transaction: it is what a start is recognised by.
    const tx: SqlRunner = refuse.bind(undefined);
    const open = new OpenTransaction(this.#tables, this);
    this.#open.set(tx, open);
    return {
      tx,
      commit: async () => {
        if (this.#open.delete(tx)) open.commit();
      },
      rollback: async () => {
        if (this.#open.delete(tx)) open.rollback();
      },
    };
  }

  get(tx: SqlRunner): OpenTransaction {
    const open = this.#open.get(tx);
    if (!open) {
      throw new SagaError("SAGAZ_CANNOT", {
        storage: "memory",
        what: "join a transaction that its begin() did not open",
      });
    }
    return open;
  }

  /** Tells whether an open transaction holds the key of this start. */
  holds(start: StartRow): boolean {
    return [...this.#open.values()].some((open) => open.find(start) !== undefined);
  }
}

async function refuse(sql: string): Promise<never> {
  throw new SagaError("SAGAZ_CANNOT", { storage: "memory", what: `run SQL (${sql})` });
}

class OpenTransaction {
  readonly #tables: Tables;
  readonly #all: Transactions;
  readonly #starts: StartRow[] = [];
  readonly #added: {
    readonly events: readonly OutboxRow[];
    readonly holdMs: number;
    readonly added: AddedEvent[];
  }[] = [];
  readonly #onEnd: ((hasCommitted: boolean) => void)[] = [];

  constructor(tables: Tables, all: Transactions) {
    this.#tables = tables;
    this.#all = all;
  }

  start(start: StartRow): KeyedOutcome {
    checkStart(start, this.#tables.now());
    const existing = findByKey(this.#tables, start);
    if (existing) return existing;
    const own = this.find(start);
    if (own) return { kind: "existing", sagaId: own.sagaId, sameInput: own.inputHash === start.inputHash };
    if (this.#all.holds(start)) return { kind: "busy" };
    this.#checkIds([start]);
    this.#starts.push(start);
    return { kind: "started", sagaId: start.sagaId };
  }

  /** Their ids are known when the transaction has committed: the answer fills then. */
  add(events: readonly OutboxRow[], holdMs: number): readonly AddedEvent[] {
    const added: AddedEvent[] = [];
    this.#added.push({ events, holdMs, added });
    return added;
  }

  find(start: StartRow): StartRow | undefined {
    const key = toKey(start);
    return key === undefined ? undefined : this.#starts.find((one) => toKey(one) === key);
  }

  /** Calls back when it has committed, or not. */
  onEnd(callBack: (hasCommitted: boolean) => void): void {
    this.#onEnd.push(callBack);
  }

  rollback(): void {
    for (const callBack of this.#onEnd) callBack(false);
  }

  commit(): void {
    try {
      this.#checkIds(this.#starts);
    } catch (error) {
      this.rollback();
      throw error;
    }
    for (const callBack of this.#onEnd) callBack(true);
    const at = this.#tables.now();
    for (const start of this.#starts)
      commitStart(this.#tables, { ...start, owned: false }, { epoch: null, at });
    for (const { events, holdMs, added } of this.#added)
      for (const one of this.#tables.publish(events, at, holdMs)) added.push(one);
  }

  #checkIds(starts: readonly StartRow[]): void {
    for (const { sagaId } of starts) {
      if (this.#tables.journals.has(sagaId)) throw new SagaError("SAGAZ_CONFLICT", { sagaId, seq: 1 });
    }
  }
}
