/** An order as every system gets it; the same JSON for all. */
export interface Order {
  readonly orderId: string;
  readonly item: string;
  readonly quantity: number;
  readonly amount: number;
  /** True: the third step fails for good, so that the first two must be undone. */
  readonly fails: boolean;
  /** How long the second step takes, in milliseconds; 0 except in the recovery measure. */
  readonly chargeMs: number;
}

/** How one saga ended, as its caller sees it. */
export type Ending = "completed" | "compensated";

/** Where a session works and for how many callers at once it should be tuned. */
export interface SessionOptions {
  readonly url: string;
  readonly inFlight: number;
}

/** A running system in this process, ready to take sagas. */
export interface Session {
  /** Starts one saga and resolves when its end is durable and known here. */
  run(order: Order): Promise<Ending>;
  /** Ends all its connections, so that the server's statistics are complete. */
  close(): Promise<void>;
}

/** Questions that the bench asks the database itself, whatever the system believes. */
export interface Audit {
  /** One row with the column `n`: how many sagas have not ended. */
  readonly unfinishedSql: string;
  /** A row for every action whose result is recorded: `order_id`, `step`. */
  readonly recordedStepsSql: string;
}

/** What is known of a system without running it. */
export interface Description {
  readonly name: string;
  /** Version and the settings that matter, in one line for the report. */
  readonly tuning: string;
  /** Absent when the system takes no part in the recovery measure. */
  readonly audit?: Audit;
  /** One row with the column `n`: journal rows of one saga. Only ours is held against the database's ceiling. */
  readonly journalRowsPerSagaSql?: string;
  /** True when the system can fill its tables with a history. */
  readonly canFillHistory?: boolean;
}

/** One durable engine under measurement: ours or a peer. */
export interface System extends Description {
  /** Creates its tables in an empty database; every session gets a fresh copy of what it leaves. */
  install(url: string): Promise<void>;
  /** Connects, and takes up unfinished sagas of a killed process. */
  open(options: SessionOptions): Promise<Session>;
  /** Puts finished sagas into the tables by plain SQL, as a long history would have left them. */
  fillHistory?(url: string, sagas: number): Promise<void>;
}
