import { randomUUID } from "node:crypto";
import { readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { findText } from "./find-text.ts";
import { identifyProcess, isProcessRunning } from "./process-identity.ts";

/** The folder of the marks inside the data folder. */
export const usageMarksFolder = "users";

/** Records that this process uses the server of the folder, and returns the mark. Call it under the folder's lock. */
export async function addUsageMark(folder: string): Promise<string> {
  const mark = path.join(folder, usageMarksFolder, randomUUID());
  await writeFile(mark, identifyProcess(process.pid));
  return mark;
}

/**
 * Removes our mark and the marks of processes that died, and tells how many living users are left.
 *
 * A process that was killed leaves its mark behind; it counts for nothing as soon as the process is gone. Call it
 * under the folder's lock.
 */
export async function removeUsageMark(folder: string, mark: string): Promise<number> {
  await rm(mark, { force: true });
  const marks = await readdir(path.join(folder, usageMarksFolder));
  const living = await Promise.all(
    marks.map(async (name) => {
      const file = path.join(folder, usageMarksFolder, name);
      if (isProcessRunning((await findText(file)) ?? "")) return 1;
      await rm(file, { force: true });
      return 0;
    }),
  );
  return living.reduce<number>((sum, one) => sum + one, 0);
}
