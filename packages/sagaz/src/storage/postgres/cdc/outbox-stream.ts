import { isSagaError, SagaError } from "../../../core/errors.ts";
import { must } from "../../../core/must.ts";
import type { EventStream, Reader, StreamBatch, StreamedEvent } from "../../../ports/event-stream.ts";
import { int8Array } from "../binary-arrays.ts";
import type { Database } from "../database.ts";
import { toSagaError } from "../errors.ts";
import type { Lsn } from "./lsn.ts";
import { toLsn } from "./lsn.ts";
import { PgOutput } from "./pgoutput.ts";
import { Progress } from "./progress.ts";
import type { PgReplicationClient } from "./replication-client.ts";
import { Replication } from "./replication.ts";
import { RowReader } from "./row-reader.ts";
import { slotError } from "./slot.ts";

/** Above so many events, or bytes, the socket is not read from, and below half of it it is. */
const BUFFERED_MAX = { events: 4_000, bytes: 16 << 20 };
/** The server is told how far we are so often: it takes a peer that is silent for a minute for dead. */
const STATUS_EVERY_MS = 1_000;
/** A commit is in the log before it is visible: for so long at most between looks. */
const INVISIBLE_MS = { first: 1, most: 50 };
const OUTBOX = "saga_outbox";

/** An event that has come, with its transaction. */
interface Arrived {
  readonly event: StreamedEvent;
  readonly bytes: number;
  readonly xid: number;
  /** It may have been sent before this stream began. */
  readonly isOld: boolean;
}

/** What a stream is made of. */
export interface OutboxStreamParts {
  readonly database: Database;
  readonly client: PgReplicationClient;
  readonly reader: Reader;
  readonly slot: string;
  readonly publication: string;
}

/** The outbox as the log brings it: see the port. */
export class OutboxStream implements EventStream {
  readonly #database: Database;
  readonly #reader: Reader;
  readonly #replication: Replication;
  readonly #output = new PgOutput();
  readonly #rows = new RowReader();
  readonly #progress = new Progress(0n);
  #arrived: Arrived[] = [];
  #bytes = 0;
  #xid = 0;
  #isOld = false;
  /** Where the log ended when this began: nobody else sends what comes after. */
  #beganAt: Lsn = 0n;
  #ending: SagaError | undefined;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor({ database, client, reader }: OutboxStreamParts) {
    this.#database = database;
    this.#reader = reader;
    this.#replication = new Replication(client, {
      onMessage: (bytes, from) => this.#onMessage(bytes, from),
      onKeepalive: (walEnd, wantsReply) => {
        this.#progress.pass(walEnd);
        if (wantsReply) this.#replication.confirm(this.#progress.lsn);
      },
      onEnd: (error) => this.#end(slotError(toSagaError(error, { commits: false }))),
    });
  }

  /** Opens one. @throws SagaError as the port says. */
  static async open(parts: OutboxStreamParts): Promise<OutboxStream> {
    const stream = new OutboxStream(parts);
    await stream.#start(parts);
    return stream;
  }

  async #start({ database, slot, publication }: OutboxStreamParts): Promise<void> {
    const [row] = await database.read({ text: database.sql.walEnd });
    this.#beganAt = toLsn(String(row?.["lsn"]));
    try {
      await this.#replication.start({ slot, publication }, database.limits.connectTimeoutMs);
    } catch (error) {
      throw slotError(toSagaError(error, { commits: false }));
    }
    this.#timer = setInterval(() => this.#replication.beat(this.#progress.lsn), STATUS_EVERY_MS);
  }

  // What the log says.

  #onMessage(bytes: Buffer, from: number): void {
    try {
      this.#hear(bytes, from);
    } catch (error) {
      this.#end(error as SagaError);
    }
  }

  #hear(bytes: Buffer, from: number): void {
    const change = this.#output.read(bytes, from);
    if (!change) return;
    switch (change.kind) {
      case "begin":
        this.#xid = change.xid;
        this.#isOld = change.commitLsn < this.#beganAt;
        return this.#progress.begin();
      case "commit":
        return this.#progress.end(change.endLsn);
      case "insert": {
        const { relation, values } = change;
        must(relation.name === OUTBOX, "the publication is of the outbox alone");
        const event = this.#rows.read(relation, values, this.#progress.add());
        this.#arrived.push({ event, bytes: bytes.length, xid: this.#xid, isOld: this.#isOld });
        this.#bytes += bytes.length;
        this.#hold();
        return this.#wake?.();
      }
    }
  }

  #hold(): void {
    const isFull = this.#arrived.length >= BUFFERED_MAX.events || this.#bytes >= BUFFERED_MAX.bytes;
    const isHalf = this.#arrived.length < BUFFERED_MAX.events / 2 && this.#bytes < BUFFERED_MAX.bytes / 2;
    if (isFull || isHalf) this.#replication.hold(isFull);
  }

  // What a reader asks.

  async read(limit: number): Promise<StreamBatch> {
    if (this.#arrived.length === 0) await this.#news();
    this.#mustGoOn();
    const some = this.#arrived.slice(0, limit);
    const known = await this.#look(some);
    this.#arrived = this.#arrived.slice(some.length);
    for (const { bytes } of some) this.#bytes -= bytes;
    this.#hold();
    const events = some.map(({ event }) => event);
    const position = events.at(-1)?.position ?? 0;
    return { events: known.size === 0 ? events : events.filter(({ id }) => !known.has(id)), position };
  }

  /** Waits until they are visible. Answers the ids of those that somebody has sent, or will. */
  async #look(some: readonly Arrived[]): Promise<ReadonlySet<number>> {
    const { epoch, term } = this.#reader;
    const xids = int8Array([...new Set(some.map(({ xid }) => xid))]);
    const ids = int8Array(some.filter(({ isOld }) => isOld).map(({ event }) => event.id));
    const statement = { text: this.#database.sql.lookAtStreamed, values: [epoch, term, xids, ids] };
    for (let delayMs = INVISIBLE_MS.first; ; delayMs = Math.min(delayMs * 2, INVISIBLE_MS.most)) {
      this.#mustGoOn();
      const [row] = await this.#database.read(statement);
      if (row?.["is_visible"] === "true") return new Set(JSON.parse(row["known"] ?? "[]") as number[]);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }

  confirm(position: number): void {
    this.#progress.settle(position);
  }

  stop(): Promise<void> {
    this.#replication.confirm(this.#progress.lsn);
    this.#end(new SagaError("SAGAZ_STOPPED", { what: "stream of events" }));
    this.#replication.stop();
    return Promise.resolve();
  }

  #news(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#ending) resolve();
    }).finally(() => {
      this.#wake = undefined;
    });
  }

  #mustGoOn(): void {
    if (this.#ending) throw this.#ending;
  }

  #end(error: SagaError): void {
    this.#ending ??= isSagaError(error) ? error : toSagaError(error, { commits: false });
    clearInterval(this.#timer);
    this.#wake?.();
  }
}
