import type { Part } from "./parts.ts";

/** How much to measure. */
export interface Plan {
  readonly name: "full" | "quick";
  /** Rounds of the interleaved parts; a median of fewer than three would say little. */
  readonly rounds: number;
  /** Events that wait when a relay begins. */
  readonly backlog: number;
  /** Events that each relay's process sends before the first round, so that its code is compiled. */
  readonly warmBacklog: number;
  /** Messages that a broker's client publishes by itself. */
  readonly aloneMessages: number;
  /** A part that lasts for a time, in milliseconds, and how long it runs before, so that its code is compiled. */
  readonly partMs: number;
  readonly warmMs: number;
  /** How long events are written at {@link pacePerSecond}. */
  readonly paceMs: number;
  readonly duplicates: number;
  /** What the tables have behind them where a history is measured: events sent and kept, and events since then. */
  readonly history: { readonly kept: number; readonly churned: number };
  /** Events that wait in the log when it begins to be read beside a peer. */
  readonly captured: number;
  /** Events in whose middle a reader is killed, and how often that is done. */
  readonly killed: number;
  readonly kills: number;
  readonly parts: readonly Part[];
}

/** Messages that a relay hands to the broker at a time, and a client by itself. */
export const batchSize = 1_000;

/** Callers at the same time that change something in the database. */
export const clients = 16;

/** Events a second where latency is measured. */
export const pacePerSecond = 200;

/** Events are written at that pace for so long, in milliseconds, before it is measured. */
export const paceWarmMs = 500;

/** Messages that are processed in one transaction. */
export const inboxBatch = 100;

/** Everything, with history: for `results.md`. */
export const fullPlan: Omit<Plan, "parts"> = {
  name: "full",
  rounds: 5,
  backlog: 100_000,
  warmBacklog: 20_000,
  aloneMessages: 50_000,
  partMs: 2_000,
  warmMs: 2_000,
  paceMs: 5_000,
  duplicates: 2_000,
  history: { kept: 1_000_000, churned: 500_000 },
  captured: 200_000,
  killed: 100_000,
  kills: 3,
};

/** The same measures on less, in about a minute; with a history that shows little. */
export const quickPlan: Omit<Plan, "parts"> = {
  name: "quick",
  rounds: 3,
  backlog: 20_000,
  warmBacklog: 10_000,
  aloneMessages: 10_000,
  partMs: 500,
  warmMs: 1_000,
  paceMs: 2_000,
  duplicates: 500,
  history: { kept: 20_000, churned: 20_000 },
  captured: 50_000,
  killed: 100_000,
  kills: 1,
};
