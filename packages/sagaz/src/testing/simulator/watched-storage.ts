import type { Clock } from "../../ports/clock.ts";
import type {
  AppendBatch,
  AppendEntry,
  Claim,
  EventRow,
  SagaRow,
  SagaStorage,
  StoredEvent,
} from "../../ports/storage.ts";
import { journalIn } from "../../storage/memory/journal.ts";
import { leasesIn } from "../../storage/memory/leases.ts";
import { mailboxIn } from "../../storage/memory/mailbox.ts";
import { deadLettersIn } from "../../storage/memory/dead-letters.ts";
import { flowsIn } from "../../storage/memory/flows.ts";
import { inboxIn } from "../../storage/memory/inbox.ts";
import { outboxIn } from "../../storage/memory/outbox.ts";
import { participantsIn } from "../../storage/memory/participants.ts";
import { queriesIn } from "../../storage/memory/queries.ts";
import { readsMail, Tables } from "../../storage/memory/tables.ts";
import { Transactions } from "../../storage/memory/transactions.ts";
import type { InMemoryTransaction } from "../../storage/memory/transactions.ts";
import { upkeepIn } from "../../storage/memory/upkeep.ts";
import type { History } from "./history.ts";

/** A saga that nobody can run just now is given back for this long, whatever mail it has. */
const napMsMax = 31_000;

/**
 * The storage in memory, with somebody who watches each write as it happens and knows the contract by heart: what a
 * fenced worker writes, what takes a number twice, a saga that sleeps beside its unread mail. All processes of a
 * simulation share one.
 */
export class WatchedStorage {
  readonly storage: SagaStorage;
  readonly #tables: Tables;
  readonly #transactions: Transactions;
  readonly #history: History;
  /** Steps and items whose outcome is on record, as `saga/step`. */
  readonly #done = new Set<string>();
  readonly #skipped = new Set<string>();
  readonly #mails: { readonly mailId: string; readonly sagaId: string }[] = [];

  constructor(clock: Pick<Clock, "now">, history: History) {
    this.#history = history;
    this.#tables = new Tables(clock);
    this.#transactions = new Transactions(this.#tables);
    this.storage = this.#watched();
  }

  #watched(): SagaStorage {
    const tables = this.#tables;
    const journal = journalIn(tables, this.#transactions);
    const leases = leasesIn(tables);
    const mailbox = mailboxIn(tables);
    return {
      name: "memory",
      can: { joinTransaction: true, transactionalSteps: false, participants: true },
      start: async () => {},
      stop: async () => {},
      listen: (listener) => tables.hints.listen(listener),
      queries: queriesIn(tables),
      upkeep: upkeepIn(tables),
      outbox: outboxIn(tables, this.#transactions),
      inbox: inboxIn(tables, this.#transactions),
      deadLetters: deadLettersIn(tables),
      flows: flowsIn(tables),
      participants: participantsIn(tables, this.#transactions),
      journal: { ...journal, append: (batch) => this.#watchAppend(batch, () => journal.append(batch)) },
      leases: {
        ...leases,
        claim: async (claim) => {
          const claimed = await leases.claim(claim);
          for (const { sagaId, adoptions } of claimed) {
            this.#history.note(`worker ${claim.epoch} claims ${short(sagaId)} (${adoptions} adoptions)`);
            if (adoptions > 0) this.#history.saw("takeovers");
          }
          if (this.#passesOver(claim)) this.#history.saw("full tenants");
          return claimed;
        },
      },
      mailbox: {
        ...mailbox,
        send: async (mail) => {
          this.#mails.push(mail);
          await mailbox.send(mail);
          this.#checkAwake(mail.sagaId);
        },
      },
    };
  }

  /** Opens a transaction as a user's database client would. */
  begin(): InMemoryTransaction {
    return this.#transactions.begin();
  }

  get rows(): readonly SagaRow[] {
    return [...this.#tables.sagas.values()];
  }

  row(sagaId: string): SagaRow | undefined {
    return this.#tables.sagas.get(sagaId);
  }

  journal(sagaId: string): readonly StoredEvent[] {
    return this.#tables.journals.get(sagaId) ?? [];
  }

  /** True once the step (or item) is recorded as done. */
  isDone(sagaId: string, key: string): boolean {
    return this.#done.has(`${sagaId}/${key}`);
  }

  /** True once whoever depends on the step may begin. */
  isSatisfied(sagaId: string, step: string): boolean {
    const key = `${sagaId}/${step}`;
    return this.#done.has(key) || this.#skipped.has(key);
  }

  /** True while this epoch's lease is not fenced, and the saga is its own. */
  isOwner(epoch: number, sagaId: string): boolean {
    return this.#tables.workers.has(epoch) && this.#tables.sagas.get(sagaId)?.owner === epoch;
  }

  /** True while a request of this kind waits for the saga's owner. */
  isAsked(sagaId: string, kind: string): boolean {
    for (const { mail, refusal } of this.#tables.mailboxes.get(sagaId)?.mails.values() ?? [])
      if (!refusal && mail.kind === kind) return true;
    return false;
  }

  /** Mail that nobody has answered. */
  unread(): readonly string[] {
    return [...this.#tables.mailboxes].flatMap(([sagaId, box]) => {
      const waiting = [...box.mails.values()].filter(({ refusal }) => !refusal);
      return waiting.map(({ mail }) => `${mail.kind} (mail ${mail.mailSeq} of ${box.lastSeq}) to ${sagaId}`);
    });
  }

  /** Nobody owns anything, and nothing will happen by itself. */
  isQuiet(): boolean {
    for (const saga of this.#tables.sagas.values())
      if (saga.owner !== null || saga.wakeAt !== null) return false;
    return true;
  }

  /** What keeps the storage from being quiet, for people. */
  unrest(): string {
    const busy = this.rows.filter(({ owner, wakeAt }) => owner !== null || wakeAt !== null);
    return busy
      .map(
        ({ sagaId, status, owner, waitingFor, wakeAt }) =>
          `${sagaId} ${status} owner ${owner} waits for ${waitingFor} wakes ${wakeAt === null ? "never" : `in ${wakeAt - this.#tables.now()} ms`}`,
      )
      .join("; ");
  }

  #watchAppend<Answer>(batch: AppendBatch, write: () => Promise<Answer>): Promise<Answer> {
    const fault = this.#faultOf(batch);
    const before = batch.entries.map(({ sagaId }) => this.#mark(sagaId));
    const answer = write(); // done when this returns; the promise only tells
    const changed = batch.entries.some(({ sagaId }, i) => this.#mark(sagaId) !== before[i]);
    if (!changed) {
      answer.catch((error: unknown) =>
        this.#history.note(`worker ${batch.epoch} may not write ${shorts(batch)}: ${String(error)}`),
      );
      if (!this.#tables.workers.has(batch.epoch)) this.#history.saw("fenced writes");
      return answer;
    }
    if (fault) this.#history.breach("only the owner appends, and each number once", fault);
    for (const entry of batch.entries) this.#noteEntry(entry, batch.epoch);
    for (const entry of batch.entries) {
      this.#checkAwake(entry.sagaId);
      for (const { sagaId } of entry.mails) this.#checkAwake(sagaId);
    }
    return answer;
  }

  /** True when something is due that this claim leaves where it is, because its tenant is full. */
  #passesOver({ tenants }: Claim): boolean {
    const isFull = (tenantId: string | null) => tenants?.left.get(tenantId ?? "") === 0;
    return this.rows.some(
      ({ tenantId, wakeAt }) => isFull(tenantId) && wakeAt !== null && wakeAt <= this.#tables.now(),
    );
  }

  #mark(sagaId: string): string {
    const saga = this.#tables.sagas.get(sagaId);
    return `${this.#tables.seqOf(sagaId)} ${saga?.owner ?? "nobody"}`;
  }

  /** Why this batch must be refused, by a reading of the contract that shares no code with the storage's. */
  #faultOf({ epoch, entries }: AppendBatch): string | undefined {
    if (!this.#tables.workers.has(epoch)) return `worker ${epoch} is fenced or gone, and wrote`;
    const seqs = new Map<string, number>();
    for (const { sagaId, firstSeq, events, start } of entries) {
      const owner = this.#tables.sagas.get(sagaId)?.owner;
      if (!start && !seqs.has(sagaId) && owner !== epoch)
        return `worker ${epoch} wrote to ${sagaId}, which belongs to ${owner ?? "nobody"}`;
      const seq = seqs.get(sagaId) ?? this.#tables.seqOf(sagaId);
      if (firstSeq !== seq + 1) return `event ${firstSeq} of ${sagaId} was written after event ${seq}`;
      seqs.set(sagaId, seq + events.length);
    }
    return undefined;
  }

  #noteEntry({ sagaId, events, row, spawns, mails }: AppendEntry, epoch: number): void {
    const types = events.map(({ type, step }) => (step === null ? type : `${type}(${step})`));
    const released = row?.release ? ` released, wakes ${row.release.wakeAt ?? "never"}` : "";
    this.#history.note(`worker ${epoch} writes ${short(sagaId)}: ${types.join(" ")}${released}`);
    this.#history.saw("events", events.length);
    for (const event of events) this.#noteEvent(sagaId, event);
    for (const spawn of spawns) this.#noteSpawn(spawn.sagaId, spawn.started.data);
    this.#mails.push(...mails);
  }

  #noteEvent(sagaId: string, { type, step, data }: EventRow): void {
    if (type === "saga_parked") this.#notePark(data);
    if (type === "step_done") this.#done.add(`${sagaId}/${step}`);
    if (type === "step_skipped") this.#skipped.add(`${sagaId}/${step}`);
    if (type === "late_effect") this.#history.saw("late effects");
    if (type === "pivot_started") this.#history.saw("pivots");
  }

  #notePark(data: string): void {
    const { reason } = JSON.parse(data) as { reason: string };
    this.#history.note(`parked: ${reason}`);
    if (reason === "crash_loop") this.#history.saw("crash loops");
    if (reason === "definition_missing") this.#history.saw("missing definitions");
  }

  #noteSpawn(sagaId: string, data: string): void {
    const { parent, reused } = JSON.parse(data) as { parent?: object; reused?: object };
    this.#history.saw(parent ? "children" : "forks");
    for (const key of Object.keys(reused ?? {})) this.#done.add(`${sagaId}/${key}`);
  }

  #checkAwake(sagaId: string): void {
    const saga = this.#tables.sagas.get(sagaId);
    if (!saga || saga.owner !== null || !readsMail(saga.status)) return;
    // Nobody can read its mail; whoever comes that can, claims it.
    if (saga.parkedReason === "definition_missing" && saga.definition.holders.size === 0) return;
    if (!this.#tables.mailboxes.get(sagaId)?.unread) return;
    if (saga.wakeAt !== null && saga.wakeAt <= this.#tables.now() + napMsMax) return;
    const mail = this.unread().filter((text) => text.endsWith(sagaId));
    this.#history.breach("a saga that nobody owns never sleeps beside unread mail", mail.join(", "));
  }
}

function shorts({ entries }: AppendBatch): string {
  return entries.map(({ sagaId }) => short(sagaId)).join(", ");
}

/** The end of an id: enough to tell the sagas of one run apart. */
export function short(sagaId: string): string {
  return sagaId.slice(-4);
}
