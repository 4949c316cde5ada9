import type { SqlRunner } from "../../core/definition/context.ts";
import { must } from "../../core/must.ts";
import type {
  AddedEvents,
  Backlog,
  HeldEvent,
  OutboxRow,
  OutboxStorage,
  PendingEvent,
  Settlement,
  ShardShare,
  TakeRequest,
} from "../../ports/outbox.ts";
import { int4Array, int8Array, textArray } from "./binary-arrays.ts";
import type { TextRow } from "./connection.ts";
import type { Database } from "./database.ts";
import { toSagaError } from "./errors.ts";
import type { Hints } from "./hints.ts";
import { toInsert, toParameters } from "./outbox-columns.ts";
import { storable } from "./storable.ts";
import { UndecidedIds } from "./undecided-ids.ts";

/** Parameters of one statement are counted by 16 bits. */
const eventsPerStatement = 1_000;

/** Behind so many pending events nobody looks which of them come first. */
const lookedThroughMax = 1_000;

/** Where a relay's reading begins, while it holds the same shards. */
interface Place {
  readonly shards: string;
  /** Of the server: see {@link Decided}. */
  readonly life: number;
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
  /** Nothing is pending up to here, nor can anything come to light, in this life of the server. */
  #heldAfter = { life: 0, id: 0 };

  constructor(parts: { database: Database; hints: Hints }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
    this.#undecided = new UndecidedIds(parts.database);
  }

  async addIn(tx: SqlRunner, events: readonly OutboxRow[], holdMs = 0): Promise<AddedEvents> {
    const ids: number[] = [];
    let createdAt = 0;
    try {
      for (let i = 0; i < events.length; i += eventsPerStatement) {
        const some = events.slice(i, i + eventsPerStatement);
        const values = [this.#database.now(), holdMs === 0 ? null : holdMs, ...some.flatMap(toParameters)];
        const rows = await tx(toInsert(this.#database.sql, some.length), values);
        ids.push(...rows.map((row) => Number(row["id"])));
        createdAt = Number(rows[0]?.["at"]);
      }
    } catch (error) {
      // Whatever went wrong, it is in the caller's transaction: nothing of ours was committed.
      throw toSagaError(error, { commits: false });
    }
    if (holdMs === 0) this.#hints.tell("outbox");
    return { ids: ids.sort((a, b) => a - b), createdAt };
  }

  async behindOthers(events: readonly HeldEvent[]): Promise<readonly number[]> {
    if (events.length === 0) return [];
    const { upTo: decided, life } = await this.#undecided.mark();
    if (this.#heldAfter.life !== life) this.#heldAfter = { life, id: 0 };
    const ids = events.map(({ id }) => id);
    const values = [
      int8Array(ids),
      textArray(events.map(({ key }) => key)),
      this.#heldAfter.id,
      lookedThroughMax,
    ];
    const [row] = await this.#database.read({ text: this.#database.sql.behindOthers, values });
    must(row !== undefined, "a look is answered");
    const lowest = Math.min(Number(row["lowest"] ?? Infinity), ...ids);
    this.#heldAfter.id = Math.max(this.#heldAfter.id, Math.min(decided, lowest - 1));
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

  async take(request: TakeRequest): Promise<readonly PendingEvent[]> {
    const { epoch, shards, limit, held, again } = request;
    const allInFlight = [...request.inFlight]; // as it is now: what is settled from now on may still be read
    const { upTo: decided, life } = await this.#undecided.mark();
    const place = this.#placeOf(epoch, { shards: shards.join(), life });
    if (again !== undefined) place.after = Math.min(place.after, again - 1);
    lookBack(place, held);
    const inFlight = new Set(allInFlight.filter((id) => id > place.after));
    const mostRows = limit + inFlight.size;
    const values = [place.after, maskOf(shards), mostRows, textArray(held), this.#database.now()];
    const rows = await this.#database.read({ text: this.#database.sql.takeEvents, values });
    const fresh = rows.map(toEvent).filter(({ id }) => !inFlight.has(id));
    // Some of what was in flight when this began is settled by now, and has left room for more than was asked for.
    const events = fresh.slice(0, limit);
    const isAll = rows.length < mostRows && events.length === fresh.length;
    const readTo = isAll
      ? decided
      : Number((events.length < fresh.length ? events.at(-1)?.id : rows.at(-1)?.["id"]) ?? 0);
    // All that is decided, as far as this has read, is known now: in flight, held, or among these.
    place.after = Math.max(place.after, Math.min(decided, readTo));
    return events;
  }

  #placeOf(epoch: number, { shards, life }: Pick<Place, "shards" | "life">): Place {
    const known = this.#places.get(epoch);
    if (known?.shards === shards && known.life === life) return known;
    const place: Place = { shards, life, after: 0, heldFrom: new Map() };
    this.#places.set(epoch, place);
    return place;
  }

  async settle({ epoch, sent, failed, dead }: Settlement): Promise<void> {
    const delays = failed.map(({ id, attempts, delayMs, error }) => {
      return { id, attempts, delay: delayMs, error: storable(error) };
    });
    const letters = dead.map((one) => ({ ...one, error: storable(one.error) }));
    const values = [epoch, this.#database.now(), int8Array(sent), toJson(delays), toJson(letters)];
    await this.#database.write({ text: this.#database.sql.settleEvents, values });
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

function toEvent(row: TextRow): PendingEvent {
  const text = (name: string) => row[name] ?? null;
  const bytes = row["payload_bytes"] ?? null;
  return {
    id: Number(row["id"]),
    createdAt: Number(row["created_ms"]),
    attempts: Number(row["attempts"]),
    waitMs: Number(row["wait_ms"] ?? 0),
    shard: Number(row["shard"]),
    eventId: String(row["event_id"]),
    topic: String(row["topic"]),
    key: String(row["key"]),
    type: String(row["type"]),
    source: String(row["source"]),
    aggregateType: text("aggregate_type"),
    aggregateId: text("aggregate_id"),
    correlationId: text("correlation_id"),
    sagaId: text("saga_id"),
    traceparent: text("traceparent"),
    headers: text("headers"),
    payload: bytes === null ? String(row["payload"]) : Buffer.from(bytes.slice(2), "hex"),
  };
}

function toJson(rows: readonly object[]): string | null {
  return rows.length === 0 ? null : JSON.stringify(rows);
}
