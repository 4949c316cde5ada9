import type { SqlRunner } from "../core/definition/context.ts";

/**
 * Messages that consumers have processed, so that each takes effect once for each of them.
 *
 * Errors are those of `SagaStorage`.
 */
export interface InboxStorage {
  /**
   * Notes messages as processed by a consumer and does the work for those that are new, in one transaction: both, or
   * neither. Who is second waits for the first, and finds a duplicate, or does the work when the first gave up. What
   * `work` throws rolls back, and comes through. Event ids of one call differ. One that leaves the transaction alone for
   * longer than `idleMsMax` may lose it: a process that is frozen, or cut off, must not hold up the others.
   */
  process(
    request: InboxRequest & { readonly idleMsMax: number },
    work: InboxWork,
  ): Promise<readonly InboxAnswer[]>;
  /** The same in the caller's transaction, of a single message. */
  processIn(tx: SqlRunner, request: InboxRequest, work: InboxWork): Promise<readonly InboxAnswer[]>;
}

/** Messages of one consumer. */
export interface InboxRequest {
  readonly consumerName: string;
  readonly messages: readonly InboxRow[];
}

/** A message as the inbox knows it. */
export interface InboxRow {
  readonly eventId: string;
  readonly sourceTopic: string;
  readonly eventType: string;
}

/**
 * Does the work for those messages of the request that are new, named by their places, and answers for each of them the
 * JSON text of its result, or null. Its `tx` is the transaction.
 */
export type InboxWork = (tx: SqlRunner, fresh: readonly number[]) => Promise<readonly (string | null)[]>;

/** What became of a message. */
export interface InboxAnswer {
  readonly isDuplicate: boolean;
  /** JSON text; of a duplicate, what was kept the first time. */
  readonly result: string | null;
}
