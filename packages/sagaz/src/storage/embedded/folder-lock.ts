import { randomUUID } from "node:crypto";
import { link, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findText } from "./find-text.ts";
import { identifyProcess, isProcessRunning } from "./process-identity.ts";

const lockName = /^lock\.(\d+)$/;
const pollMs = 20;

/**
 * Runs `work` while holding the folder's lock, which at most one process (and one caller in it) holds at a time.
 *
 * Node has no lock that the kernel releases, and a plain lock file cannot be broken safely after a crash: between
 * seeing it stale and removing it, another process may have removed it and locked anew. So the locks are numbered
 * and only the highest number counts. A lock is taken by creating the next number, which only one process can;
 * it is never removed before a higher one exists. A holder that died is passed over the same way.
 *
 * @throws Error naming the holder when the lock is not had within `timeoutMs` milliseconds.
 */
export async function withFolderLock<T>(
  folder: string,
  timeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const lock = await takeLock(folder, timeoutMs);
  try {
    return await work();
  } finally {
    // Emptied, not removed: its number must stay taken until there is a higher one.
    await writeLock(folder, lock, "").catch(() => {});
  }
}

/** True for the files that the lock leaves in its folder. */
export function isLockFile(name: string): boolean {
  return name.startsWith("lock.");
}

async function takeLock(folder: string, timeoutMs: number): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const highest = Math.max(0, ...(await listNumbers(folder)));
    const holder = (await findText(path.join(folder, `lock.${highest}`))) ?? "";
    if (holder === "" || !isProcessRunning(holder)) {
      const taken = await claimNumber(folder, highest + 1);
      if (taken !== undefined) return taken;
    }
    if (performance.now() > deadline) {
      throw new Error(
        `process ${holder.split(":")[0]} has held the lock of the folder for over ${timeoutMs} ms`,
      );
    }
    await delay(pollMs);
  }
}

/**
 * Takes the lock with this number, and clears the lower ones away; undefined when another process was quicker.
 *
 * Call it only for the number after a lock whose holder is gone.
 */
export async function claimNumber(folder: string, number: number): Promise<string | undefined> {
  const name = `lock.${number}`;
  const draft = path.join(folder, `lock.draft-${randomUUID()}`);
  await writeFile(draft, identifyProcess(process.pid));
  try {
    // Complete with its holder's name in one step; fails when another process has this number.
    await link(draft, path.join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const numbers = await listNumbers(folder);
  if (Math.max(...numbers) > number) {
    // We were slow: this number had been taken, used and cleared away while we made up our mind.
    await rm(path.join(folder, name), { force: true });
    return undefined;
  }
  const lower = numbers.filter((other) => other < number);
  await Promise.all(lower.map((old) => rm(path.join(folder, `lock.${old}`), { force: true })));
  return name;
}

async function writeLock(folder: string, name: string, content: string): Promise<void> {
  const draft = path.join(folder, `lock.draft-${randomUUID()}`);
  await writeFile(draft, content);
  await rename(draft, path.join(folder, name));
}

/** The numbers of the locks in the folder, in no order. */
async function listNumbers(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names
    .map((name) => lockName.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number);
}
