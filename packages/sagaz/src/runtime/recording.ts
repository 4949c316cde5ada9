import type { Live } from "../core/decide/view.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { evolve } from "../core/saga/evolve.ts";
import type { JournalEntry, ParkReason, SagaEvent, Tries } from "../core/saga/events.ts";
import { findStep } from "../core/saga/state.ts";
import type { SagaState } from "../core/saga/state.ts";
import type { WaitReason } from "../core/saga/status.ts";
import { toRecordedError } from "../core/decide/outcome.ts";
import type { AppendEntry, NewMail, OutboxRow, RowChange, StartRow } from "../ports/storage.ts";
import { toEventRow, toMails, toRowChange, toSpawn } from "./entry.ts";

/** What an entry gives up, if it gives the saga up. */
export interface Release {
  readonly wakeAt: number | null;
  readonly mailSeq: number;
  readonly waitingFor: WaitReason | null;
}

/**
 * What one saga has decided and not yet handed to the writer: events, with the mail they answer and the mail and
 * sagas they bring about. All of it becomes one entry, so that it is recorded together or not at all.
 */
export class Recording {
  readonly #definition: SagaDefinition;
  readonly #state: SagaState;
  readonly #live: Live;
  #events: JournalEntry[] = [];
  #readMails: string[] | undefined;
  #mails: NewMail[] | undefined;
  #spawns: StartRow[] | undefined;
  #outbox: OutboxRow[] | undefined;
  /** What the row says, to write it only when that changes. */
  #row: Shown;

  constructor({ definition, state, live }: { definition: SagaDefinition; state: SagaState; live: Live }) {
    this.#definition = definition;
    this.#state = state;
    this.#live = live;
    this.#row = shownOf(state);
  }

  get isEmpty(): boolean {
    return this.#events.length === 0 && this.#readMails === undefined;
  }

  /** Numbers the events, applies them to the state, and keeps them for the next entry. Tries ride on the first. */
  record(events: readonly SagaEvent[], at: number): void {
    for (const event of events) {
      const entry = toEntry(event, { seq: this.#state.seq + 1, at, tries: this.#takeTries() });
      this.#apply(entry);
      this.#note(entry);
    }
  }

  /** An event that cannot follow leaves no gap behind: the next one takes its number. */
  #apply(entry: JournalEntry): void {
    try {
      evolve(this.#state, entry);
    } catch (error) {
      this.#state.seq = entry.seq - 1;
      throw error;
    }
  }

  #note(entry: JournalEntry): void {
    this.#events.push(entry);
    const scope = { definition: this.#definition, state: this.#state };
    const spawn = toSpawn(entry, scope);
    if (spawn) (this.#spawns ??= []).push(spawn);
    for (const mail of toMails(entry, scope)) (this.#mails ??= []).push(mail);
    if ("step" in entry) this.#live.retryAt.delete(entry.step);
    if (entry.type === "retry_scheduled" || entry.type === "undo_retry_scheduled") {
      this.#live.retryAt.set(entry.step, entry.data.at);
    }
  }

  #takeTries(): Tried | undefined {
    const { tries } = this.#live;
    if (tries.size === 0) return undefined;
    const taken: Tried = Object.fromEntries(tries);
    tries.clear();
    return taken;
  }

  /** The next entry deletes this mail: it is answered by what the entry says, and by this mail if there is one. */
  answers(mailId: string, reply?: NewMail): void {
    (this.#readMails ??= []).push(mailId);
    if (reply) (this.#mails ??= []).push(reply);
  }

  /** These events are published if and only if the next entry is recorded. */
  publish(events: readonly OutboxRow[]): void {
    if (events.length > 0) (this.#outbox ??= []).push(...events);
  }

  /**
   * What only memory knows and a later owner must, as events: delays that still run, and tries that no event has told.
   */
  noteVolatile(now: number): void {
    const type = this.#state.direction === "forward" ? "retry_scheduled" : "undo_retry_scheduled";
    for (const [key, at] of Array.from(this.#live.retryAt)) {
      const step = findStep(this.#state, key);
      if (at <= now || step?.retryAt === at) continue;
      const error = step?.error ?? toRecordedError(new Error("an earlier attempt failed"), "error");
      this.record([{ type, step: key, data: { at, error } }], now);
    }
    if (this.#live.tries.size > 0) this.record([{ type: "attempts_noted", data: {} }], now);
  }

  /** True when an event of this type is among what waits. */
  has(type: SagaEvent["type"]): boolean {
    for (const event of this.#events) if (event.type === type) return true;
    return false;
  }

  /** Makes the entry and begins anew. */
  take(release: Release | undefined): AppendEntry {
    const entry: AppendEntry = {
      sagaId: this.#state.sagaId,
      firstSeq: this.#events[0]?.seq ?? this.#state.seq + 1,
      events: this.#events.map(toEventRow),
      start: undefined,
      row: this.#rowIfChanged(release),
      spawns: this.#spawns ?? NONE,
      mails: this.#mails ?? NONE,
      readMails: this.#readMails ?? NONE,
      outbox: this.#outbox ?? NONE,
    };
    this.#events = [];
    this.#readMails = undefined;
    this.#mails = undefined;
    this.#spawns = undefined;
    this.#outbox = undefined;
    return entry;
  }

  #rowIfChanged(release: Release | undefined): RowChange | undefined {
    const state = this.#state;
    if (!release && isShown(this.#row, state)) return undefined;
    this.#row = shownOf(state);
    if (!release) return toRowChange(state, { release, waitingFor: null });
    const { wakeAt, mailSeq, waitingFor } = release;
    return toRowChange(state, { release: { wakeAt, mailSeq }, waitingFor });
  }
}

/** What lists show of a saga, apart from what it waits for. */
interface Shown {
  readonly status: SagaState["status"];
  readonly reason: ParkReason | undefined;
  readonly step: string | undefined;
  readonly isPaused: boolean;
  readonly isFailing: boolean;
}

function shownOf({ status, parked, pausedAt, failure }: SagaState): Shown {
  return {
    status,
    reason: parked?.reason,
    step: parked?.step,
    isPaused: pausedAt !== undefined,
    isFailing: failure !== undefined,
  };
}

function isShown(row: Shown, { status, parked, pausedAt, failure }: SagaState): boolean {
  return (
    row.status === status &&
    row.reason === parked?.reason &&
    row.step === parked?.step &&
    row.isPaused === (pausedAt !== undefined) &&
    row.isFailing === (failure !== undefined)
  );
}

/** Gives an event its place. The most frequent call of all, so it copies nothing that it need not. */
function toEntry(
  event: SagaEvent,
  place: { seq: number; at: number; tries: Tried | undefined },
): JournalEntry {
  const { seq, at, tries } = place;
  const data = tries ? { ...event.data, tries } : event.data;
  const { type } = event;
  return (
    "step" in event ? { type, step: event.step, data, seq, at } : { type, data, seq, at }
  ) as JournalEntry;
}

type Tried = Readonly<Record<string, Tries>>;

/** An entry in which nothing happens yet. */
export function emptyEntry(sagaId: string, firstSeq: number): AppendEntry {
  return {
    sagaId,
    firstSeq,
    events: NONE,
    start: undefined,
    row: undefined,
    spawns: NONE,
    mails: NONE,
    readMails: NONE,
    outbox: NONE,
  };
}

/** The entry that brings a saga into being. */
export function toStartEntry(start: StartRow): AppendEntry {
  return {
    sagaId: start.sagaId,
    firstSeq: 1,
    events: [start.started],
    start,
    row: undefined,
    spawns: NONE,
    mails: NONE,
    readMails: NONE,
    outbox: NONE,
  };
}

const NONE: readonly never[] = [];
