import { setTimeout as after } from "node:timers/promises";

const LOOK_MS = 50;

/** Looks again and again until the answer is yes. @throws Error when that takes longer than `boundMs`. */
export async function until(what: string, boundMs: number, isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + boundMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${boundMs} ms in vain until ${what}`);
    await after(LOOK_MS);
  }
}
