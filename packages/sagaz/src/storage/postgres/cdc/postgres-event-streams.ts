import { must } from "../../../core/must.ts";
import type {
  EventStream,
  EventStreams,
  LeftRequest,
  Reader,
  ReaderAnswer,
  StreamLimits,
  StreamOutlook,
  StreamSettlement,
} from "../../../ports/event-stream.ts";
import type { TakenEvents, Settlement } from "../../../ports/outbox.ts";
import { int8Array, textArray } from "../binary-arrays.ts";
import type { Database } from "../database.ts";
import type { Hints } from "../hints.ts";
import { toArrayText, withLiterals } from "../literals.ts";
import { hintTold, toSettlementValues } from "../outbox.ts";
import { toAnswer } from "../taken-events.ts";
import { LeftPlace } from "./left-place.ts";
import { OutboxStream } from "./outbox-stream.ts";
import { likeConnection, type PgReplicationClient } from "./replication-client.ts";
import { isRead, Slot } from "./slot.ts";

/** Events from the write-ahead log, by logical replication. */
export class PostgresEventStreams implements EventStreams {
  readonly #database: Database;
  readonly #hints: Hints;
  readonly #slot: Slot;
  readonly #newClient: (() => PgReplicationClient) | undefined;
  /** Of the last reader that there was here. */
  #left = { term: 0, place: new LeftPlace() };

  constructor(parts: {
    database: Database;
    hints: Hints;
    newClient: (() => PgReplicationClient) | undefined;
  }) {
    this.#database = parts.database;
    this.#hints = parts.hints;
    this.#newClient = parts.newClient;
    this.#slot = new Slot(parts.database);
  }

  prepare(limits: StreamLimits): Promise<StreamOutlook> {
    return this.#slot.prepare(limits);
  }

  async tidy({ slotWalBytesMax }: StreamLimits): Promise<void> {
    await this.#slot.dropBehind(slotWalBytesMax);
  }

  trouble(limits: StreamLimits): Promise<StreamOutlook | undefined> {
    return this.#slot.trouble(limits);
  }

  discard(): Promise<void> {
    return this.#slot.drop();
  }

  async become(epoch: number): Promise<ReaderAnswer> {
    const [row] = await this.#database.write({ text: this.#database.sql.becomeReader, values: [epoch] });
    must(row !== undefined, "who reads is answered");
    const { answer, is_drained: isDrained } = row;
    if (answer === "debezium" || answer === "taken") return { kind: answer };
    const reader = { epoch, term: Number(row["epoch"]) };
    return { kind: "reader", reader, isDrained: isDrained === "true" };
  }

  async shardsHeld(): Promise<number> {
    const [row] = await this.#database.read({ text: this.#database.sql.heldShards });
    return Number(row?.["held"]);
  }

  async lastId(): Promise<number> {
    const [row] = await this.#database.read({ text: this.#database.sql.lastOutboxId });
    return Number(row?.["last_id"]);
  }

  async endDrain({ epoch, term }: Reader, upTo: number): Promise<void> {
    await this.#database.write({ text: this.#database.sql.endDrain, values: [epoch, term, upTo] });
  }

  async open(reader: Reader): Promise<EventStream> {
    const slot = await this.#slot.name();
    const database = this.#database;
    const { publication } = this.#slot;
    const client = await this.#client();
    try {
      return await OutboxStream.open({ database, client, reader, slot, publication });
    } catch (error) {
      if (isRead(error)) await this.#slot.wrest(reader);
      throw error;
    }
  }

  async #client(): Promise<PgReplicationClient> {
    if (this.#newClient) return this.#newClient();
    return this.#database.borrow(async ({ client }) => likeConnection(client, this.#database.pool));
  }

  async settle({ epoch, term }: Reader, { left, ...settlement }: StreamSettlement): Promise<void> {
    const values = [
      epoch,
      term,
      ...toSettlementValues(this.#database, settlement),
      left.length === 0 ? null : int8Array(left),
    ];
    await this.#database.write({ text: this.#database.sql.settleStreamed, values });
    if (left.length > 0) this.#placeOf(term).left(left);
    hintTold(this.#hints, settlement);
  }

  async leftKeys(limit: number): Promise<readonly string[]> {
    const rows = await this.#database.read({ text: this.#database.sql.leftKeys, values: [limit] });
    return rows.map(({ key }) => String(key));
  }

  async stillLeft(keys: readonly string[]): Promise<readonly string[]> {
    const values = [textArray(keys)];
    const rows = await this.#database.read({ text: this.#database.sql.stillLeft, values });
    return rows.map(({ key }) => String(key));
  }

  async takeLeft({ term }: Reader, request: LeftRequest): Promise<TakenEvents> {
    const { limit, bytesMax, held, again } = request;
    const place = this.#placeOf(term);
    const after = place.begin(held, again);
    const inFlight = [...request.inFlight].map(({ id }) => id).filter((id) => id > after);
    const values = [after, limit, bytesMax, toArrayText(held), toArrayText(inFlight), this.#database.now()];
    const text = withLiterals(this.#database.sql.takeLeft, values);
    const { events, bytes } = toAnswer(await this.#database.copyOut(text));
    const isAll = events.length < limit && bytes < bytesMax;
    place.readTo(isAll ? Number.MAX_SAFE_INTEGER : (events.at(-1)?.id ?? 0));
    return { events, isAll };
  }

  async settleLeft({ epoch, term }: Reader, settlement: Omit<Settlement, "epoch">): Promise<void> {
    const values = [epoch, term, ...toSettlementValues(this.#database, settlement)];
    await this.#database.write({ text: this.#database.sql.settleLeft, values });
    hintTold(this.#hints, settlement);
  }

  /** Who does not read any more has nothing to go on from: what it takes is refused when it is noted. */
  #placeOf(term: number): LeftPlace {
    if (term > this.#left.term) this.#left = { term, place: new LeftPlace() };
    return term === this.#left.term ? this.#left.place : new LeftPlace();
  }

  async end({ epoch, term }: Reader, reason: string): Promise<void> {
    await this.#database.write({ text: this.#database.sql.endReading, values: [epoch, term, reason] });
    this.#hints.tell("outbox");
  }
}
