import type { Clock } from "../ports/clock.ts";
import type { SagaRunner } from "./saga-runner.ts";

/** Pause between looks whether attempts have settled. */
const LOOK_MS = 5;

type Runners = ReadonlyMap<string, SagaRunner>;

/**
 * Lets the sagas of a process come to rest before it goes: nothing begins any more; attempts may finish for
 * `patienceMs`, then they are told to stop and have the `settleMs` of their definitions. Each saga is handed back as soon
 * as its last attempt has settled.
 */
export async function comeToRest(
  runners: Runners,
  { clock, patienceMs }: { readonly clock: Clock; readonly patienceMs: number },
): Promise<void> {
  for (const runner of runners.values()) runner.drain();
  if (await restWithin(patienceMs, { runners, clock })) return;
  for (const runner of runners.values()) runner.abortAll();
  const settleMs = Math.max(0, ...Array.from(runners.values(), ({ definition }) => definition.settleMs));
  await restWithin(settleMs, { runners, clock });
}

async function restWithin(
  limitMs: number,
  { runners, clock }: { runners: Runners; clock: Clock },
): Promise<boolean> {
  const until = clock.monotonic() + limitMs;
  for (;;) {
    for (const runner of runners.values()) runner.release();
    if ([...runners.values()].every(({ inFlight }) => inFlight === 0)) return true;
    if (clock.monotonic() >= until) return false;
    await new Promise<void>((resolve) => clock.setTimer(LOOK_MS, resolve));
  }
}
