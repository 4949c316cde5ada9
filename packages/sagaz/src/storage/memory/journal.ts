import { SagaError } from "../../core/errors.ts";
import { must } from "../../core/must.ts";
import type {
  AppendBatch,
  AppendEntry,
  AppendReceipt,
  JournalStore,
  StartRow,
  Tail,
} from "../../ports/storage.ts";
import { checkEntry, checkStart } from "./checks.ts";
import { putMail, takeMail } from "./mailbox.ts";
import { changeRow, insertStart } from "./rows.ts";
import { startKeyed } from "./starts.ts";
import type { Tables } from "./tables.ts";
import type { Transactions } from "./transactions.ts";

/** Journals in memory. A batch is checked whole before its first entry is written, so it happens or it does not. */
export function journalIn(tables: Tables, transactions: Transactions): JournalStore {
  return {
    async append(batch) {
      return append(tables, batch);
    },
    async tails(sagaIds) {
      return sagaIds.flatMap((sagaId) => tailOf(tables, sagaId) ?? []);
    },
    async startKeyed(epoch, starts) {
      return startKeyed(tables, { epoch, starts, isHeld: (start) => transactions.holds(start) });
    },
    async startIn(tx, start) {
      return transactions.get(tx).start(start);
    },
    async transaction() {
      throw new SagaError("SAGAZ_CANNOT", {
        storage: "memory",
        what: "run the statements of a transactional step",
      });
    },
  };
}

function append(tables: Tables, batch: AppendBatch): AppendReceipt {
  tables.getWorker(batch.epoch);
  const check = new BatchCheck(tables, batch.epoch);
  for (const entry of batch.entries) check.entry(entry);
  const write = { epoch: batch.epoch, at: check.at };
  for (const entry of batch.entries) applyEntry(tables, entry, write);
  // Last, so that mail reaches whatever began in this batch and wakes whatever was released in it.
  for (const { mails } of batch.entries) for (const mail of mails) putMail(tables, mail);
  const events = batch.entries.flatMap(({ outbox }) => outbox);
  const added = tables.publish(events, check.at, batch.holdMs);
  return added.length === 0 ? { at: check.at } : { at: check.at, added };
}

function tailOf(tables: Tables, sagaId: string): Tail | undefined {
  const seq = tables.seqOf(sagaId);
  return seq === 0 ? undefined : { sagaId, seq, owner: tables.sagas.get(sagaId)?.owner ?? null };
}

/** Walks through a batch as if it were written, and throws where that would break a rule. */
class BatchCheck {
  /** Time of the write: now, but never before the last event of a saga in it. */
  at: number;
  readonly #tables: Tables;
  readonly #epoch: number;
  readonly #now: number;
  readonly #tails = new Map<string, Pick<Tail, "seq" | "owner">>();

  constructor(tables: Tables, epoch: number) {
    this.#tables = tables;
    this.#epoch = epoch;
    this.#now = this.at = tables.now();
  }

  entry(entry: AppendEntry): void {
    checkEntry(entry);
    if (entry.start) this.#begin(entry.start, 0);
    const tail = this.#getTail(entry);
    const owner = entry.row?.release ? null : tail.owner;
    this.#tails.set(entry.sagaId, { seq: tail.seq + entry.events.length, owner });
    this.at = Math.max(this.at, this.#tables.journals.get(entry.sagaId)?.at(-1)?.at ?? 0);
    for (const spawn of entry.spawns) this.#begin(spawn, 1);
  }

  /** Where the entry's saga stands in this batch, if this worker may write there. */
  #getTail({ sagaId, firstSeq, start }: AppendEntry): Pick<Tail, "seq" | "owner"> {
    const tail = this.#tails.get(sagaId) ?? tailOf(this.#tables, sagaId);
    const mayWrite = start ? start.sagaId === sagaId : tail?.owner === this.#epoch;
    if (!tail || !mayWrite || firstSeq !== tail.seq + 1) throw conflict(sagaId, firstSeq);
    return tail;
  }

  #begin(start: StartRow, seq: number): void {
    must(start.idempotencyKey === null, "a start with a key goes through startKeyed");
    checkStart(start, this.#now);
    const { sagaId } = start;
    if (this.#tails.has(sagaId) || this.#tables.journals.has(sagaId)) throw conflict(sagaId, 1);
    this.#tails.set(sagaId, { seq, owner: start.owned ? this.#epoch : null });
  }
}

function applyEntry(
  tables: Tables,
  entry: AppendEntry,
  write: { readonly epoch: number; readonly at: number },
): void {
  const { start, row, sagaId } = entry;
  if (start) insertStart(tables, start, { ...write, withEvent: false });
  const [journal, saga] = [tables.journals.get(sagaId), tables.sagas.get(sagaId)];
  must(journal && saga, "what was checked is there");
  for (const event of entry.events) {
    const { type, step, data } = event;
    journal.push({ seq: journal.length + 1, at: write.at, type, step, data });
  }
  // A mere release, such as a saga that is given back untried, tells nothing about whoever died with it.
  if (entry.events.length > 0) saga.adoptions = 0;
  takeMail(tables, sagaId, entry.readMails);
  if (row) changeRow(tables, saga, { ...row, at: write.at });
  for (const spawn of entry.spawns) insertStart(tables, spawn, { ...write, withEvent: true });
}

function conflict(sagaId: string, seq: number): SagaError {
  return new SagaError("SAGAZ_CONFLICT", { sagaId, seq });
}
