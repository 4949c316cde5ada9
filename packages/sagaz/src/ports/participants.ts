import type { SqlRunner } from "../core/definition/context.ts";

/**
 * What participants remember of what they were asked for: one row an effect, which is something done and its undo. Kept for
 * 13 months after it was last asked about, since a saga may wait for long before it goes back.
 *
 * Errors are those of `SagaStorage`.
 */
export interface ParticipantStorage {
  /**
   * Takes an effect for this transaction, and answers what was kept of it, or null: whoever comes second waits until the first
   * has ended. Within a transaction it can be taken again. `tx` is one that `inbox.process` has handed out, or as `Outbox.add` takes.
   */
  take(tx: SqlRunner, effect: ParticipantEffect): Promise<string | null>;
  /** Keeps what is to be remembered of an effect that this transaction has taken, if it commits. */
  keep(tx: SqlRunner, effect: ParticipantEffect, standing: string): Promise<void>;
}

/** Names an effect: no two participants share one. */
export interface ParticipantEffect {
  readonly participant: string;
  /** As the command has it. At most 500 characters. */
  readonly effect: string;
}
