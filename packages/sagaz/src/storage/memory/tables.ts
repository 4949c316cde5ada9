import { need } from "../../core/must.ts";
import { SagaError } from "../../core/errors.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { SagaStatus } from "../../core/saga/status.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AddedEvent, OutboxRow } from "../../ports/outbox.ts";
import type { SagaRow, StoredEvent } from "../../ports/storage.ts";
import { FlowTable } from "./flow-table.ts";
import { Hints } from "./hints.ts";
import { InboxTable } from "./inbox-table.ts";
import { Lanes } from "./lanes.ts";
import { EffectTable } from "./effect-table.ts";
import { OutboxTable } from "./outbox-table.ts";
import type { DefinitionRecord, MailRecord, Mailbox, SagaRecord, WorkerRecord } from "./records.ts";

/** The data, and the indexes that keep every question as cheap as its answer. */
export class Tables {
  readonly sagas = new Map<string, SagaRecord>();
  readonly journals = new Map<string, StoredEvent[]>();
  readonly mailboxes = new Map<string, Mailbox>();
  /** Refused mail, oldest refusal first. */
  readonly refused = new Set<MailRecord>();
  /** By tenant, saga name and key. */
  readonly keys = new Map<string, { readonly sagaId: string; readonly inputHash: string | null }>();
  readonly workers = new Map<number, WorkerRecord>();
  readonly definitions = new Map<string, DefinitionRecord>();
  /** Ids of all journals in their order. */
  readonly ids: string[] = [];
  readonly unfinished = new Set<SagaRecord>();
  /** Ends in the order in which they were written; a saga that went on and ended again is there twice. */
  readonly ends: { readonly saga: SagaRecord; readonly at: number }[] = [];
  readonly outbox = new OutboxTable();
  readonly inbox = new InboxTable();
  readonly flows = new FlowTable();
  readonly effects = new EffectTable();
  readonly hints = new Hints();
  readonly #clock: Pick<Clock, "now">;
  #lastEpoch = 0;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  nextEpoch(): number {
    return ++this.#lastEpoch;
  }

  /** The worker, unless it lost its lease. */
  getWorker(epoch: number): WorkerRecord {
    const worker = this.workers.get(epoch);
    if (!worker) throw new SagaError("SAGAZ_FENCED", { epoch });
    return worker;
  }

  findDefinition({
    sagaName,
    version,
  }: {
    readonly sagaName: string;
    readonly version: number;
  }): DefinitionRecord | undefined {
    return this.definitions.get(`${version} ${sagaName}`);
  }

  /** The record of a definition that a saga is started of or a worker holds; made when it is the first. */
  ensureDefinition(held: { readonly sagaName: string; readonly version: number }): DefinitionRecord {
    const known = this.findDefinition(held);
    if (known) return known;
    const record: DefinitionRecord = {
      graphHash: undefined,
      holders: new Set(),
      missingSince: this.now(),
      queue: new Lanes(),
      parked: new Set(),
    };
    this.definitions.set(`${held.version} ${held.sagaName}`, record);
    return record;
  }

  /** Adds a row. Its place among the unfinished, parked and claimable follows from what it says. */
  insert(row: SagaRow): void {
    const definition = this.ensureDefinition(row);
    const saga: SagaRecord = {
      ...row,
      createdAt: createdAtOf(row.sagaId),
      owner: null,
      place: -1,
      definition,
    };
    this.sagas.set(saga.sagaId, saga);
    this.index(saga);
    this.setOwner(saga, row);
  }

  /** Adds an empty journal. */
  openJournal(sagaId: string): StoredEvent[] {
    const journal: StoredEvent[] = [];
    this.journals.set(sagaId, journal);
    this.ids.splice(this.placeOf(sagaId), 0, sagaId);
    return journal;
  }

  /** Where an id stands, or would stand, among all ids. New ones come last, so the search begins there. */
  placeOf(sagaId: string): number {
    let [low, high] = [0, this.ids.length];
    if (high > 0 && (this.ids[high - 1] ?? "") < sagaId) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ids[middle] ?? "") < sagaId) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Adds events to publish. */
  publish(events: readonly OutboxRow[], at: number, holdMs = 0): readonly AddedEvent[] {
    const ids = events.map((event) => this.outbox.add(event, { createdAt: at, holdMs }));
    if (events.length > 0 && holdMs === 0) this.hints.emit("outbox");
    if (holdMs === 0) return [];
    const held = events.map(({ key }, n) => ({ id: need(ids[n], "each has one"), key }));
    const behind = new Set(this.outbox.behindOthers(held));
    return ids.map((id) => ({ id, createdAt: at, isFree: !behind.has(id) }));
  }

  /** Keeps the indexes by status in step with a row that has changed. */
  index(saga: SagaRecord): void {
    const { parked } = saga.definition;
    if (saga.parkedReason === "definition_missing") parked.add(saga);
    else parked.delete(saga);
    if (saga.finishedAt === null) this.unfinished.add(saga);
    else this.unfinished.delete(saga);
  }

  /** Notes that a saga has ended, for counts and for those who wait for it. */
  noteEnd(saga: SagaRecord): void {
    const at = Math.max(saga.finishedAt ?? 0, this.ends.at(-1)?.at ?? 0);
    this.ends.push({ saga, at });
    this.hints.emit("ended");
  }

  /** Gives a saga to a worker, or to whoever claims it from `wakeAt` on (null: nobody, before mail arrives). */
  setOwner(saga: SagaRecord, to: { readonly owner: number | null; readonly wakeAt: number | null }): void {
    const before = this.#ownerOf(saga);
    before?.owned.delete(saga);
    before?.mailed.delete(saga.sagaId);
    saga.owner = to.owner;
    saga.wakeAt = to.owner === null ? to.wakeAt : null;
    this.#queue(saga);
    const after = this.#ownerOf(saga);
    after?.owned.add(saga);
    if (this.mailboxes.get(saga.sagaId)?.unread) after?.mailed.add(saga.sagaId);
  }

  #queue(saga: SagaRecord): void {
    const { queue } = saga.definition;
    if (saga.wakeAt === null) queue.remove(saga);
    else queue.put(saga);
    if (saga.wakeAt !== null && saga.wakeAt <= this.now()) this.hints.emit("work");
  }

  #ownerOf({ owner }: SagaRecord): WorkerRecord | undefined {
    return owner === null ? undefined : this.workers.get(owner);
  }

  /** Forgets all rows, and with them who owns what and what waits to be claimed; journals and mail stay. */
  loseRows(): void {
    for (const saga of this.sagas.values()) {
      this.setOwner(saga, { owner: null, wakeAt: null });
      saga.definition.parked.delete(saga);
    }
    this.sagas.clear();
    this.unfinished.clear();
    this.ends.length = 0;
  }

  /** The journal's last seq, or 0. */
  seqOf(sagaId: string): number {
    return this.journals.get(sagaId)?.length ?? 0;
  }
}

/** Tells whether a saga in this status reads mail: all do, but those that were closed by force. */
export function readsMail(status: SagaStatus): boolean {
  return status !== "forced_closed";
}
