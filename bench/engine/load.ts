import { randomUUID } from "node:crypto";
import { quantile } from "../quantile.ts";
import type { Ending, Order, Session } from "./system.ts";
import { ran } from "./work.ts";

/** What to put on a session: a closed loop of callers, each starting its next saga when the last has ended. */
export interface Load {
  readonly inFlight: number;
  /** Callers stop starting after this many milliseconds; what is in flight then still counts, and so does its time. */
  readonly forMs: number;
  readonly fails: boolean;
}

/** What came of a load, as its callers saw it. */
export interface LoadResult {
  readonly sagas: number;
  readonly elapsedMs: number;
  /** Start to end of one saga, in milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of this process, user and system, in milliseconds. */
  readonly nodeCpuMs: number;
}

/**
 * Runs sagas from `inFlight` callers for a while.
 *
 * @throws Error when a saga ends in another way than it must, or when steps ran more or less often than needed:
 * a figure for the wrong work is worse than none.
 */
export async function drive(session: Session, load: Load): Promise<LoadResult> {
  const expected: Ending = load.fails ? "compensated" : "completed";
  const latencies: number[] = [];
  const before = { ...ran };
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const caller = async () => {
    do {
      const from = performance.now();
      const ending = await session.run(newOrder({ fails: load.fails }));
      latencies.push(performance.now() - from);
      if (ending !== expected) throw new Error(`A saga ended as ${ending}, not as ${expected}.`);
    } while (performance.now() - startedAt < load.forMs);
  };
  await Promise.all(Array.from({ length: load.inFlight }, caller));
  const elapsedMs = performance.now() - startedAt;
  const used = process.cpuUsage(cpu);
  checkWork(latencies.length, load.fails, before);
  latencies.sort((a, b) => a - b);
  return {
    sagas: latencies.length,
    elapsedMs,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    nodeCpuMs: (used.user + used.system) / 1000,
  };
}

function checkWork(sagas: number, fails: boolean, before: typeof ran): void {
  const actions = ran.actions - before.actions;
  const undos = ran.undos - before.undos;
  if (actions === sagas * 3 && undos === (fails ? sagas * 2 : 0)) return;
  throw new Error(`${sagas} sagas took ${actions} actions and ${undos} undos: not the work to be measured.`);
}

/** An order nobody has had before. */
export function newOrder({ fails = false, chargeMs = 0 } = {}): Order {
  return { orderId: randomUUID(), item: "espresso-machine", quantity: 2, amount: 499.9, fails, chargeMs };
}
