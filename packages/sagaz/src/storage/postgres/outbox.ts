import type { SqlRunner } from "../../core/definition/context.ts";
import { must } from "../../core/must.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type {
  AddedEvent,
  AddText,
  Backlog,
  HeldEvent,
  OutboxRow,
  OutboxStorage,
  Settlement,
  ShardShare,
  TakenEvents,
  TakeRequest,
} from "../../ports/outbox.ts";
import type { NewMail } from "../../ports/storage.ts";
import { int4Array, int8Array, textArray } from "./binary-arrays.ts";
import { toTime } from "./database.ts";
import type { Database } from "./database.ts";
import { toSagaError } from "./errors.ts";
import type { Hints } from "./hints.ts";
import { toArrayText, withLiterals } from "./literals.ts";
import { toAdded } from "./added-events.ts";
import type { Adding } from "./outbox-columns.ts";
import { toInsert, toText } from "./outbox-columns.ts";
import type { PendingLook, PendingStart } from "./pending-start.ts";
import { storable } from "./storable.ts";
import { toAnswer } from "./taken-events.ts";
import type { UndecidedIds } from "./undecided-ids.ts";

/** They travel as one text, and the largest events are of 1 MB. */
const eventsPerStatement = 200;

/** Where a relay's reading begins, while it holds the same shards. */
interface Place {
  readonly shards: string;
  /** Of the server: see {@link Decided}. */
  readonly life: string;
  /** Up to here the relay has been told of everything, and nothing new can come to light. */
  after: number;
  /** Keys that are left out now, and how far the relay had read when that began: what they bring to light is after that. */
  readonly heldFrom: Map<string, number>;
}

/** Events that wait to be published. */
export class PostgresOutbox implements OutboxStorage {
  readonly #database: Database;
  readonly #hints: Hints;
  readonly #undecided: UndecidedIds;
  readonly #places = new Map<number, Place>();
  readonly #pendingStart: PendingStart;

  constructor(parts: {
    database: Database;
    hints: Hints;
    undecided: UndecidedIds;
    pendingStart: PendingStart;
  }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
    this.#undecided = parts.undecided;
    this.#pendingStart = parts.pendingStart;
  }

  async addIn(tx: SqlRunner, events: readonly OutboxRow[], holdMs = 0): Promise<readonly AddedEvent[]> {
    const added: Readonly<Record<string, unknown>>[] = [];
    const look = this.#lookFor(holdMs);
    try {
      for (const some of inLots(events)) {
        const { text, values } = toInsert(this.#database.sql, some, this.#adding(holdMs, look));
        added.push(...(await tx(text, values)));
      }
    } catch (error) {
      // Whatever went wrong, it is in the caller's transaction: nothing of ours was committed.
      throw toSagaError(error, { commits: false });
    }
    if (holdMs === 0) this.#hints.tell("outbox");
    return this.#toAdded(added, look);
  }

  toText(events: readonly OutboxRow[], holdMs = 0): AddText {
    const look = this.#lookFor(holdMs);
    const texts = inLots(events).map((some) => toText(this.#database.sql, some, this.#adding(holdMs, look)));
    if (holdMs === 0) this.#hints.tell("outbox");
    return { text: texts.join("; "), read: (rows) => this.#toAdded(rows, look) };
  }

  #toAdded(rows: Parameters<AddText["read"]>[0], look: PendingLook | undefined): readonly AddedEvent[] {
    return toAdded(rows, (lowest) => look && this.#pendingStart.found(look, lowest));
  }

  #lookFor(holdMs: number): PendingLook | undefined {
    return holdMs === 0 ? undefined : this.#pendingStart.lookNow();
  }

  #adding(holdMs: number, look: PendingLook | undefined): Adding {
    return { now: this.#database.now(), holdMs: holdMs === 0 ? null : holdMs, look };
  }

  async behindOthers(events: readonly HeldEvent[]): Promise<readonly number[]> {
    if (events.length === 0) return [];
    const look = await this.#pendingStart.look();
    const ids = events.map(({ id }) => id);
    const values = [int8Array(ids), textArray(events.map(({ key }) => key)), look.after, look.decided.life];
    const [row] = await this.#database.read({ text: this.#database.sql.behindOthers, values });
    must(row !== undefined, "a look is answered");
    this.#pendingStart.found(look, Math.min(Number(row["lowest"] ?? Infinity), ...ids));
    return JSON.parse(row["behind"] ?? "[]") as number[];
  }

  async settleHeld({
    sent,
    released,
  }: {
    readonly sent: readonly number[];
    readonly released: readonly number[];
  }): Promise<void> {
    const values = [int8Array(sent), int8Array(released)];
    await this.#database.write({ text: this.#database.sql.settleHeld, values });
    if (released.length > 0) this.#hints.tell("outbox");
  }

  async balance(epoch: number): Promise<ShardShare> {
    const { sql } = this.#database;
    const [row] = await this.#database.write({ text: sql.balanceShards, values: [epoch] });
    must(row !== undefined, "a share is answered");
    return { shards: JSON.parse(row["held"] ?? "[]") as number[], share: Number(row["share"]) };
  }

  async release({
    epoch,
    shards,
  }: {
    readonly epoch: number;
    readonly shards: readonly number[];
  }): Promise<void> {
    const values = [epoch, int4Array(shards)];
    await this.#database.write({ text: this.#database.sql.releaseShards, values });
    this.#hints.tell("outbox");
  }

  async take(request: TakeRequest): Promise<TakenEvents> {
    const { epoch, shards, limit, bytesMax, held, again } = request;
    const allInFlight = [...request.inFlight]; // as it is now: what is settled from now on may still be read
    const { upTo: decided, life } = await this.#undecided.mark();
    const place = this.#placeOf(epoch, { shards: shards.join(), life });
    if (again !== undefined) place.after = Math.min(place.after, again - 1);
    lookBack(place, held);
    // They are among the rows: there is room for them beside what is asked for.
    const readAgain = allInFlight.filter(({ id }) => id > place.after);
    const inFlight = new Set(readAgain.map(({ id }) => id));
    const most = {
      rows: limit + inFlight.size,
      bytes: readAgain.reduce((sum, { bytes }) => sum + bytes, bytesMax),
    };
    const values = [
      place.after,
      maskOf(shards),
      most.rows,
      most.bytes,
      toArrayText(held),
      this.#database.now(),
    ];
    const text = withLiterals(this.#database.sql.takeEvents, values);
    const { events: rows, bytes } = toAnswer(await this.#database.copyOut(text));
    const fresh = inFlight.size === 0 ? rows : rows.filter(({ id }) => !inFlight.has(id));
    // Some of what was in flight when this began is settled by now, and has left room for more than was asked for.
    const events = fresh.slice(0, limit);
    const isAll = rows.length < most.rows && bytes < most.bytes && events.length === fresh.length;
    const readTo = isAll
      ? decided
      : Number((events.length < fresh.length ? events.at(-1)?.id : rows.at(-1)?.id) ?? 0);
    // All that is decided, as far as this has read, is known now: in flight, held, or among these.
    place.after = Math.max(place.after, Math.min(decided, readTo));
    return { events, isAll };
  }

  #placeOf(epoch: number, { shards, life }: Pick<Place, "shards" | "life">): Place {
    const known = this.#places.get(epoch);
    if (known?.shards === shards && known.life === life) return known;
    const place: Place = { shards, life, after: 0, heldFrom: new Map() };
    this.#places.set(epoch, place);
    return place;
  }

  async settle({ epoch, ...settlement }: Settlement): Promise<void> {
    const values = [epoch, ...toSettlementValues(this.#database, settlement)];
    await this.#database.write({ text: this.#database.sql.settleEvents, values });
    hintTold(this.#hints, settlement);
  }

  async backlog(): Promise<Backlog> {
    const [row] = await this.#database.read({ text: this.#database.sql.outboxBacklog });
    must(row !== undefined, "a count is answered");
    const oldest = row["oldest"] ?? null;
    return {
      pending: Number(row["pending"]),
      oldestAt: oldest === null ? null : Number(oldest),
      dead: Number(row["dead"]),
    };
  }
}

function inLots(events: readonly OutboxRow[]): readonly (readonly OutboxRow[])[] {
  const lots: OutboxRow[][] = [];
  for (let i = 0; i < events.length; i += eventsPerStatement)
    lots.push(events.slice(i, i + eventsPerStatement));
  return lots;
}

/** What came to light of a key while it was left out is to be found once it is not, though ids have been decided since. */
function lookBack(place: Place, held: readonly string[]): void {
  const isHeld = new Set(held);
  for (const [key, from] of place.heldFrom) {
    if (isHeld.has(key)) continue;
    place.heldFrom.delete(key);
    place.after = Math.min(place.after, from);
  }
  for (const key of held) if (!place.heldFrom.has(key)) place.heldFrom.set(key, place.after);
}

/** One bit for each shard, as the 64 bits of a `bigint`. */
function maskOf(shards: readonly number[]): string {
  let mask = 0n;
  for (const shard of shards) mask |= 1n << BigInt(shard);
  return BigInt.asIntN(64, mask).toString();
}

/** When, what was sent, what failed, what is dead: as `settle_events` wants to be told. */
export function toSettlementValues(
  database: Database,
  { sent, failed, dead }: Omit<Settlement, "epoch">,
): readonly unknown[] {
  const delays = failed.map(({ id, attempts, delayMs, error }) => {
    return { id, attempts, delay: delayMs, error: storable(error) };
  });
  const letters = dead.map(({ mail, error, ...one }) => ({
    ...one,
    error: storable(error),
    ...(mail ? toMailFields(mail) : {}),
  }));
  return [database.now(), int8Array(sent), toJson(delays), toJson(letters)];
}

function toMailFields({ mailId, sagaId, kind, body }: NewMail): Readonly<Record<string, string>> {
  return { mail: mailId, saga: sagaId, born: toTime(createdAtOf(sagaId)), kind, body };
}

/** Sagas that were told of their dead letters are to hear of it. */
export function hintTold(hints: Hints, { dead }: Pick<Settlement, "dead">): void {
  if (!dead.some(({ mail }) => mail)) return;
  hints.tell("mail");
  hints.tell("work");
}

function toJson(rows: readonly object[]): string | null {
  return rows.length === 0 ? null : JSON.stringify(rows);
}
