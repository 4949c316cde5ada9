import type { OutboxRow } from "../core/delivery/outbox-event.ts";

/**
 * Events that could not be published, and messages that a consumer could not process, with their reasons.
 *
 * Errors are those of `SagaStorage`.
 */
export interface DeadLetterStorage {
  /** Keeps a message that a consumer gave up; once, as long as nobody has redriven it. */
  bury(letter: ConsumersDeadLetter): Promise<void>;
  /** One page, oldest first. */
  list(filter: DeadLetterFilter): Promise<DeadLetterPage>;
  /**
   * Puts events into the outbox again, once each: those that are not there, or were redriven before, are passed over.
   * Answers which were put there now.
   */
  redrive(request: Redrive): Promise<readonly number[]>;
}

/** A message that a consumer gave up. */
export interface ConsumersDeadLetter {
  readonly consumerName: string;
  readonly event: OutboxRow;
  /** When it was written, as its envelope says: milliseconds since 1970. */
  readonly createdAt: number;
  readonly attempts: number;
  readonly code: string;
  readonly error: string;
  readonly stack: string | null;
}

/** A dead letter as it is kept. Times are milliseconds since 1970. */
export interface DeadLetter extends Omit<ConsumersDeadLetter, "consumerName"> {
  readonly id: number;
  /** Who could not process it; null when no broker would have it. */
  readonly consumerName: string | null;
  readonly diedAt: number;
  readonly redrivenAt: number | null;
  /** `saga`: it was never open, for its saga was told. */
  readonly redrivenBy: string | null;
}

/** What to list. All conditions must hold. */
export interface DeadLetterFilter {
  /** Null: those that no broker would have. */
  readonly consumerName?: string | null;
  readonly topic?: string;
  /** True: those that nobody has redriven; false: those that somebody has. */
  readonly open?: boolean;
  /** At most 1,000. */
  readonly limit: number;
  /** The last id of the page before. */
  readonly after?: number;
}

/** A page of dead letters. */
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  /** Pass as `after` for the next page; undefined at the end. */
  readonly next: number | undefined;
}

/** Which dead letters go out again. */
export interface Redrive {
  readonly ids: readonly number[];
  /** Who wants it. */
  readonly actor: string;
}
