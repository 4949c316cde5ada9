/** One event as stored. */
export interface EventRow {
  readonly type: string;
  readonly step: string | null;
  /** JSON text. */
  readonly data: string;
}

/** One event as read back. */
export interface StoredEvent extends EventRow {
  readonly seq: number;
  readonly at: number;
}
