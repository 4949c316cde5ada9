import { checkTx } from "../../core/check-tx.ts";
import type { SqlRunner } from "../../core/definition/context.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import type { OutboxEvent, OutboxRow } from "../../core/delivery/outbox-event.ts";
import { isSagaError, SagaError } from "../../core/errors.ts";
import { givenOptions, PARTS, type Wanted } from "../../core/given-options.ts";
import { keepJson } from "../../core/json.ts";
import { need } from "../../core/must.ts";
import type { Chance } from "../../ports/chance.ts";
import type { Clock } from "../../ports/clock.ts";
import type { InboxAnswer } from "../../ports/inbox.ts";
import type { SagaStorage } from "../../ports/storage.ts";
import { LazyAbort } from "../lazy-abort.ts";
import { fromText, PAYLOAD_BYTES_MAX } from "../payload.ts";
import { newId, systemChance, systemClock } from "../system.ts";
import { placeOf, splitCopies, toInboxRow } from "./inbox-row.ts";

/** What an inbox is made of. Only `storage` and `consumerName` are needed. */
export interface ConsumerInboxOptions {
  readonly storage: SagaStorage;
  /** Each consumer processes an event once; two consumers do not know of each other. 1 to 200 characters. */
  readonly consumerName: string;
  /** A handler that has not settled after this time has failed. Milliseconds, default 30,000. */
  readonly handlerTimeoutMs?: number;
  /** Bytes of a result, and of an event that a handler publishes. Default 1,048,576. */
  readonly payloadBytesMax?: number;
  readonly clock?: Clock;
  readonly chance?: Chance;
}

/** What each option is, but for the name. */
export const INBOX_WANTED: Wanted<Omit<ConsumerInboxOptions, "consumerName">> = {
  storage: PARTS.storage,
  handlerTimeoutMs: { from: 1 },
  payloadBytesMax: { from: 1 },
  clock: "optional",
  chance: "optional",
};

/** A message to be processed once. */
export interface InboxMessage<Payload = unknown> {
  /** By which a repetition is recognised: `ce_id`. 1 to 200 characters. */
  readonly eventId: string;
  readonly sourceTopic: string;
  readonly eventType: string;
  readonly payload: Payload;
  /** In a batch, messages of one topic and key are processed in order: what follows one that failed is held. */
  readonly key?: string;
  /** Events that the handler publishes carry these on. */
  readonly correlationId?: string | undefined;
  readonly traceparent?: string | undefined;
  /** It is published again for this consumer, whose dead letter it was: all others pass it over. */
  readonly redrivenFor?: string | undefined;
}

/** What a handler gets beside the payload. */
export interface InboxContext<Payload = unknown> {
  readonly message: InboxMessage<Payload>;
  /** The transaction in which the message is noted as processed: what is written through it commits with that. */
  readonly tx: SqlRunner;
  /** Aborts when the handler has taken too long. */
  readonly signal: AbortSignal;
  /**
   * Publishes an event if and only if the message is noted as processed. Its key is the message's, if it has one, and its
   * correlation id the message's, or else the message's own id.
   *
   * @throws SagaError `SAGAZ_INVALID_EVENT`, `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`, and `SAGAZ_CALL_SETTLED` once
   * the handler has returned.
   */
  publish(event: OutboxEvent): void;
}

/** Processes a message. What it returns is kept for repetitions; what it throws undoes all that was written. */
export type InboxHandler<Payload = unknown, Result = unknown> = (
  payload: Payload,
  context: InboxContext<Payload>,
) => Result | Promise<Result>;

/** A handler that takes all the time that it has must not lose its transaction for that. */
const IDLE_SPARE_MS = 5_000;

/** What became of one message. */
export interface InboxResult<Result = unknown> {
  /** True when it was processed before: then `result` is what was kept. */
  readonly isDuplicate: boolean;
  /** What the handler returned; undefined when it returned nothing. */
  readonly result: Result;
}

/** What became of a message of a batch. */
export type BatchResult<Result = unknown> =
  | (InboxResult<Result> & { readonly status: "processed" })
  | { readonly status: "failed"; readonly error: SagaError }
  /** Untouched, because one before it with its key has failed. */
  | { readonly status: "held" };

/** Tells which handler it was. Never leaves this file. */
class HandlerFailure extends Error {
  readonly place: number;
  readonly error: SagaError;

  constructor(place: number, error: SagaError) {
    super(error.message, { cause: error });
    this.place = place;
    this.error = error;
  }
}

/**
 * Processes each event once for one consumer, however often it is delivered: the note that it was processed, what the
 * handler writes through `tx`, what it publishes, and its result commit together or not at all.
 *
 * @example
 * const inbox = new ConsumerInbox({ storage, consumerName: "billing" });
 * await inbox.processIdempotent({ eventId, sourceTopic, eventType, payload }, async (order, { tx }) => {
 *   await tx("insert into invoices (order_id) values ($1)", [order.id]);
 * });
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class ConsumerInbox {
  readonly consumerName: string;
  readonly #storage: SagaStorage;
  readonly #handlerTimeoutMs: number;
  readonly #payloadBytesMax: number;
  readonly #clock: Clock;
  readonly #chance: Chance;

  constructor(written: ConsumerInboxOptions) {
    const options = givenOptions("ConsumerInbox", written, {
      ...INBOX_WANTED,
      consumerName: "needed",
    });
    const { storage, consumerName, handlerTimeoutMs = 30_000 } = options;
    checkName(consumerName);
    this.consumerName = consumerName;
    this.#storage = storage;
    this.#handlerTimeoutMs = handlerTimeoutMs;
    this.#payloadBytesMax = options.payloadBytesMax ?? PAYLOAD_BYTES_MAX;
    this.#clock = options.clock ?? systemClock;
    this.#chance = options.chance ?? systemChance;
  }

  /**
   * Processes one message, in a transaction of its own, or in yours: `{ tx }`, which is then yours to commit.
   *
   * @throws SagaError `SAGAZ_HANDLER_FAILED` (the cause is what the handler threw), `SAGAZ_HANDLER_TIMEOUT`,
   * `SAGAZ_NOT_JSON` and `SAGAZ_PAYLOAD_TOO_LARGE` for a result that cannot be kept, `SAGAZ_INVALID_EVENT`,
   * `SAGAZ_CANNOT` where the storage cannot join a transaction; as `SagaStorage` else.
   */
  async processIdempotent<Payload, Result>(
    message: InboxMessage<Payload>,
    handler: InboxHandler<Payload, Result>,
    { tx }: { readonly tx?: SqlRunner } = {},
  ): Promise<InboxResult<Result>> {
    if (tx !== undefined) checkTx("processIdempotent", tx);
    const messages = [message];
    try {
      const answers = await this.#process(messages, handler, tx);
      return toResult(need(answers[0], "each message is answered"));
    } catch (error) {
      if (error instanceof HandlerFailure) throw error.error;
      throw error;
    }
  }

  /**
   * Processes messages in order, as many as succeed in one transaction. One whose handler fails is left out, with all
   * that follow it in its key, and the others are done again without it: a handler may run more than once before its
   * writes are kept. Of two copies of an event the second is a duplicate.
   *
   * @throws SagaError as `SagaStorage`: then it is not known of the whole batch, and calling again is safe.
   */
  async processBatch<Payload, Result>(
    messages: readonly InboxMessage<Payload>[],
    handler: InboxHandler<Payload, Result>,
  ): Promise<readonly BatchResult<Result>[]> {
    const results: BatchResult<Result>[] = messages.map(() => ({ status: "held" }));
    const failedKeys = new Set<string>();
    const isHeld = (message: InboxMessage) => failedKeys.size > 0 && failedKeys.has(placeOf(message));
    const inTurn = async (places: readonly number[]): Promise<void> => {
      const open = places.filter((place) => !isHeld(need(messages[place], "a place")));
      if (open.length === 0) return;
      const failure = await this.#tryAll({ messages, places: open, results }, handler);
      if (!failure) return;
      if (failure === "split") {
        for (const place of open) await inTurn([place]);
        return;
      }
      const failed = need(messages[failure.place], "a place");
      results[failure.place] = { status: "failed", error: failure.error };
      const at = open.indexOf(failure.place);
      await inTurn(open.slice(0, at));
      if (failed.key !== undefined) failedKeys.add(placeOf(failed));
      await inTurn(open.slice(at + 1));
    };
    const [firsts, copies] = splitCopies(messages);
    await inTurn(firsts);
    await inTurn(copies);
    return results;
  }

  /** Processes messages in one transaction; answers which one failed, if one did, or that each is to be tried alone. */
  async #tryAll<Payload, Result>(
    batch: {
      readonly messages: readonly InboxMessage<Payload>[];
      readonly places: readonly number[];
      readonly results: BatchResult<Result>[];
    },
    handler: InboxHandler<Payload, Result>,
  ): Promise<HandlerFailure | "split" | undefined> {
    const some = batch.places.map((place) => need(batch.messages[place], "a place"));
    try {
      const answers = await this.#process(some, handler, undefined);
      for (const [n, place] of batch.places.entries())
        batch.results[place] = {
          status: "processed",
          ...toResult<Result>(need(answers[n], "an answer each")),
        };
      return undefined;
    } catch (error) {
      if (error instanceof HandlerFailure)
        return new HandlerFailure(need(batch.places[error.place], "a place"), error.error);
      if (!isRefusal(error)) throw error;
      // It is one of them, but the database cannot say which.
      return batch.places.length > 1 ? "split" : new HandlerFailure(need(batch.places[0], "a place"), error);
    }
  }

  #process<Payload, Result>(
    messages: readonly InboxMessage<Payload>[],
    handler: InboxHandler<Payload, Result>,
    callersTx: SqlRunner | undefined,
  ): Promise<readonly InboxAnswer[]> {
    const { inbox, outbox, can, name } = this.#storage;
    const request = { consumerName: this.consumerName, messages: messages.map(toInboxRow) };
    const work = async (tx: SqlRunner, fresh: readonly number[]) => {
      const results: (string | null)[] = [];
      const published: OutboxRow[] = [];
      for (const place of fresh) {
        const message = need(messages[place], "a place");
        const result = this.#handle({ message, tx, published, place }, handler);
        results.push(result instanceof Promise ? await result : result);
      }
      if (published.length > 0) await outbox.addIn(tx, published);
      return results;
    };
    const idleMsMax = this.#handlerTimeoutMs + IDLE_SPARE_MS;
    if (!callersTx) return inbox.process({ ...request, idleMsMax }, work);
    if (!can.joinTransaction)
      throw new SagaError("SAGAZ_CANNOT", { storage: name, what: "join the caller's transaction" });
    return inbox.processIn(callersTx, request, work);
  }

  /** Answers at once where the handler does: a batch of such takes no turns of the clock. */
  #handle<Payload, Result>(
    call: {
      readonly message: InboxMessage<Payload>;
      readonly tx: SqlRunner;
      readonly published: OutboxRow[];
      readonly place: number;
    },
    handler: InboxHandler<Payload, Result>,
  ): (string | null) | Promise<string | null> {
    const { message, tx, published, place } = call;
    const stop = new LazyAbort();
    const own: OutboxRow[] = [];
    let hasSettled = false;
    const publish = (event: OutboxEvent) => {
      if (hasSettled)
        throw new SagaError("SAGAZ_CALL_SETTLED", { whose: `the handler of "${this.consumerName}"` });
      own.push(this.#toRow(event, message));
    };
    const context: InboxContext<Payload> = {
      message,
      tx,
      get signal() {
        return stop.signal;
      },
      publish,
    };
    const done = (result: Result): string | null => {
      hasSettled = true;
      const what = `the result of the handler of "${this.consumerName}"`;
      const kept = keepJson(result, { what, bytesMax: this.#payloadBytesMax });
      published.push(...own);
      return kept === undefined ? null : JSON.stringify(kept);
    };
    const failed = (error: unknown): never => {
      hasSettled = true;
      throw new HandlerFailure(place, this.#toFailure(error, message));
    };
    try {
      const answer = handler(message.payload, context);
      if (!isPromise(answer)) return done(answer);
      return this.#inTime(answer, { message, stop }).then(done).catch(failed);
    } catch (error) {
      return failed(error);
    }
  }

  #toRow(event: OutboxEvent, message: InboxMessage): OutboxRow {
    const { key, eventId, correlationId = eventId, traceparent } = message;
    return toOutboxRow(key === undefined ? event : { key, ...event }, {
      newId: () => newId(this.#clock.now(), this.#chance),
      source: `/sagaz/${this.consumerName}`,
      bytesMax: this.#payloadBytesMax,
      correlationId,
      traceparent,
      links: { "causation-id": eventId },
    });
  }

  /** A handler that never settles must not keep everything behind it. */
  #inTime<Result>(
    answer: PromiseLike<Result>,
    { message, stop }: { readonly message: InboxMessage; readonly stop: LazyAbort },
  ): Promise<Result> {
    const timeoutMs = this.#handlerTimeoutMs;
    const { eventId, eventType: type } = message;
    const { consumerName: consumer } = this;
    return new Promise<Result>((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => {
        const late = new SagaError("SAGAZ_HANDLER_TIMEOUT", { consumer, timeoutMs, eventId, type });
        stop.abort(late);
        reject(late);
      });
      void Promise.resolve(answer)
        .finally(() => timer.cancel())
        .then(resolve, reject);
    });
  }

  #toFailure(error: unknown, { eventId, eventType: type }: InboxMessage): SagaError {
    if (error instanceof SagaError) return error;
    const message = error instanceof Error ? error.message : String(error);
    const details = { consumer: this.consumerName, eventId, type, message };
    return new SagaError("SAGAZ_HANDLER_FAILED", details, { cause: error });
  }
}

/** What query builders return is a promise too, of their own kind. */
function isPromise<T>(answer: T | PromiseLike<T>): answer is PromiseLike<T> {
  return typeof (answer as Partial<PromiseLike<T>> | null | undefined)?.then === "function";
}

/** The transaction itself was refused: a statement in it had failed, or a constraint that is checked at its end. */
function isRefusal(error: unknown): error is SagaError {
  return isSagaError(error, "SAGAZ_STORAGE_REFUSED") || isSagaError(error, "SAGAZ_INVALID_EVENT");
}

function toResult<Result>({ isDuplicate, result }: InboxAnswer): InboxResult<Result> {
  return { isDuplicate, result: (result === null ? undefined : fromText(result)) as Result };
}

function checkName(consumerName: unknown): void {
  if (typeof consumerName === "string" && /^[\w.:-]{1,200}$/.test(consumerName)) return;
  throw invalid("consumerName", consumerName, "use 1 to 200 characters out of a-z A-Z 0-9 _ - . :");
}

function invalid(option: string, value: unknown, rule: string): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", {
    where: "ConsumerInbox",
    option,
    value: JSON.stringify(value) ?? "undefined",
    rule,
  });
}
