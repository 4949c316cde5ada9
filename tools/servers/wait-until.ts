import { setTimeout as delay } from "node:timers/promises";

/**
 * Asks `probe` again and again until it answers something else than undefined or false, and returns that.
 *
 * @throws Error naming `what` when `withinMs` milliseconds have passed; errors of the probe pass through.
 */
export async function waitUntil<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  { withinMs = 10_000, everyMs = 10 } = {},
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`Waited ${withinMs} ms in vain until ${what}.`);
    await delay(everyMs);
  }
}
