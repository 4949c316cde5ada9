import { SagaError } from "../core/errors.ts";
import type { JournalWriter } from "./journal-writer.ts";
import type { RunnerHost } from "./runner-host.ts";
import type { SagaRunner } from "./saga-runner.ts";
import type { Timers } from "./timers.ts";

/** What {@link handBack} needs of its worker. */
export interface HandBackParts {
  readonly writer: JournalWriter | undefined;
  readonly timers: Timers;
  /** What is not on record by then stays ours until the lease runs out. */
  readonly patienceMs: number;
}

/**
 * Gives up the sagas of a process that are at rest, and forgets the others. Answers whether no attempt is left, and
 * all writes have been answered.
 */
export async function handBack(
  runners: ReadonlyMap<string, SagaRunner>,
  { writer, timers, patienceMs }: HandBackParts,
): Promise<boolean> {
  for (const runner of runners.values()) runner.release();
  const tooLate = new Promise<boolean>((resolve) => timers.later(patienceMs, () => resolve(false)));
  const written = Promise.resolve(writer?.drained()).then(() => true);
  const isWritten = await Promise.race([written, tooLate]);
  writer?.close(new SagaError("SAGAZ_STOPPED", { what: "worker" }));
  const isSettled = [...runners.values()].every(({ inFlight }) => inFlight === 0);
  for (const runner of runners.values()) runner.lose();
  return isWritten && isSettled;
}

/** Ends the registration of a worker that has handed everything back: nobody need wait for its lease. */
export async function signOff(
  { storage, log }: Pick<RunnerHost, "storage" | "log">,
  epoch: number,
): Promise<void> {
  try {
    await storage.leases.retire(epoch);
  } catch (error) {
    log.warn("sagaz: signing off failed; the lease will run out", { error: String(error) });
  }
}
