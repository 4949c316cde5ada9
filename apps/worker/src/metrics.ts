import { Counter, Gauge, type Registry } from "prom-client";
import type { Backlog, OutboxWorker, RelayCounts, SagaStorage } from "sagaz";
import type { MeteredBroker } from "./metered-broker.ts";

/** The backlog is counted at most so often, however many ask. */
const countedEveryMs = 5_000;

/** What is measured. */
export interface Measured {
  readonly registry: Registry;
  readonly storage: SagaStorage;
  readonly worker: OutboxWorker;
  readonly broker: MeteredBroker;
}

/** What a relay has done, and what still waits, in metrics that are read when they are asked for. */
export function measureOutbox(measured: Measured): void {
  const counts: readonly (readonly [keyof RelayCounts, name: string, help: string])[] = [
    ["sent", "outbox_published_events_total", "Events that the broker has taken."],
    ["refused", "outbox_failed_events_total", "Refusals of events by the broker; each is tried again."],
    ["dead", "outbox_dead_letter_events_total", "Events that were given up."],
    ["outages", "outbox_outages_total", "Batches that met an outage of the broker."],
  ];
  for (const [count, name, help] of counts) {
    const counter = new Counter({
      name,
      help,
      registers: [],
      collect() {
        this.reset();
        this.inc(measured.worker.counts[count]);
      },
    });
    measured.registry.registerMetric(counter);
  }
  measureBacklog(measured);
}

function measureBacklog({ registry, storage, broker }: Measured): void {
  const count = atMostEvery(countedEveryMs, () => storage.outbox.backlog());
  const pending = new Gauge({
    name: "outbox_pending_events_total",
    help: "Events that wait to be published, of all workers.",
    registers: [],
    async collect() {
      set(this, (await count())?.pending);
    },
  });
  const oldest = new Gauge({
    name: "outbox_oldest_pending_seconds",
    help: "Age of the oldest event that waits; 0 when none does.",
    registers: [],
    async collect() {
      set(this, toAge(await count()));
    },
  });
  const byState = new Gauge({
    name: "outbox_events_by_state",
    help: "Events that are pending or dead letters, of all workers, and those that this worker has claimed.",
    labelNames: ["state"],
    registers: [],
    async collect() {
      const backlog = await count();
      this.reset();
      this.set({ state: "claimed" }, broker.inFlight);
      if (backlog) this.set({ state: "pending" }, backlog.pending);
      if (backlog) this.set({ state: "dead_letter" }, backlog.dead);
    },
  });
  for (const gauge of [pending, oldest, byState]) registry.registerMetric(gauge);
}

function toAge(backlog: Backlog | undefined): number | undefined {
  if (!backlog) return undefined;
  return backlog.oldestAt === null ? 0 : Math.max(0, Date.now() - backlog.oldestAt) / 1_000;
}

/** Without an answer from the database there is no figure: a stale one would look as if all were well. */
function set(gauge: Gauge, value: number | undefined): void {
  if (value === undefined) gauge.remove();
  else gauge.set(value);
}

function atMostEvery(ms: number, count: () => Promise<Backlog>): () => Promise<Backlog | undefined> {
  let last: { readonly at: number; readonly counted: Promise<Backlog | undefined> } | undefined;
  return () => {
    const now = performance.now();
    if (!last || now - last.at > ms) last = { at: now, counted: count().catch(() => undefined) };
    return last.counted;
  };
}
