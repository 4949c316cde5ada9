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
  /** One row, one number: how many sagas have not ended. */
  readonly unfinishedSql: string;
  /** One row for every action whose result is recorded: `order_id`, `step`. */
  readonly recordedStepsSql: string;
}

/** One durable engine under measurement: ours or a peer. */
export interface System {
  readonly name: string;
  /** Version and settings that matter, in one line for the report. */
  readonly tuning: string;
  readonly audit: Audit;
  /** Creates its tables in an empty database; every session gets a fresh copy of what it leaves. */
  install(url: string): Promise<void>;
  /** Connects and takes up unfinished sagas, those of a killed process included. */
  open(options: SessionOptions): Promise<Session>;
}
