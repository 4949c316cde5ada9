import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { claimNumber, isLockFile, withFolderLock } from "./folder-lock.ts";
import { identifyProcess } from "./process-identity.ts";

const timeoutMs = 30_000;
let folder: string;
let children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "sagaz-lock-"));
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
  await rm(folder, { recursive: true });
});

/** Runs a module text in a process of its own, with `withFolderLock` and the folder at hand. */
function inProcess(body: string): ChildProcess {
  const module = JSON.stringify(path.join(import.meta.dirname, "folder-lock.ts"));
  const text = `
    import { readFile, writeFile } from "node:fs/promises";
    import { withFolderLock } from ${module};
    const folder = ${JSON.stringify(folder)};
    ${body}`;
  const args = ["--import", "tsx", "--input-type=module", "-e", text];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
  children.push(child);
  return child;
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("exit", resolve));
}

test("one caller holds it at a time, and the next gets it when the work has ended or thrown", async () => {
  let holders = 0;
  let most = 0;
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) =>
      withFolderLock(folder, timeoutMs, async () => {
        most = Math.max(most, ++holders);
        await readdir(folder);
        holders -= 1;
        if (index % 2 === 0) throw new Error("work failed");
        return index;
      }),
    ),
  );
  expect(most).toBe(1);
  expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(10);
  const left = await readdir(folder);
  expect(left).toHaveLength(1);
  expect(left.every(isLockFile)).toBe(true);
});

test("processes that count under it lose no step, though one of them is killed while it holds the lock", async () => {
  await writeFile(path.join(folder, "count"), "0");
  const increment = `
    const file = folder + "/count";
    const step = () => withFolderLock(folder, ${timeoutMs}, async () => {
      const count = Number(await readFile(file, "utf8"));
      await new Promise((resolve) => setImmediate(resolve));
      await writeFile(file, String(count + 1));
    });`;
  const killed = inProcess(`await withFolderLock(folder, ${timeoutMs}, async () => {
    await writeFile(folder + "/held", "");
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  });`);
  await vi.waitUntil(() => existsSync(path.join(folder, "held")), { timeout: timeoutMs });
  const counters = [1, 2, 3].map(() =>
    inProcess(`${increment} for (let i = 0; i < 30; i += 1) await step();`),
  );
  const all = counters.map(ended);
  killed.kill("SIGKILL");
  expect(await Promise.all(all)).toEqual([0, 0, 0]);
  expect(await readFile(path.join(folder, "count"), "utf8")).toBe("90");
}, 60_000);

test("a holder whose pid now belongs to another process is passed over", async () => {
  const pidOnly = identifyProcess(process.pid).split(":")[0];
  await writeFile(path.join(folder, "lock.7"), `${pidOnly}:1`);
  const run = withFolderLock(folder, 200, () => Promise.resolve("held"));
  if (process.platform === "linux") expect(await run).toBe("held");
  // Elsewhere the start time is not known: the pid counts, and the lock stays with it.
  else await expect(run).rejects.toThrow(/has held the lock/);
});

test("the wait for a living holder is bounded and names it", async () => {
  await withFolderLock(folder, timeoutMs, async () => {
    const second = withFolderLock(folder, 50, () => Promise.resolve());
    await expect(second).rejects.toThrow(
      `process ${process.pid} has held the lock of the folder for over 50 ms`,
    );
  });
});

test("a number that was used and cleared away while a slow process made up its mind is void", async () => {
  // The slow one saw lock 5 left by a dead holder and tries 6. By now 6 is gone again and 7 is held.
  await writeFile(path.join(folder, "lock.7"), identifyProcess(process.pid));
  expect(await claimNumber(folder, 6)).toBeUndefined();
  expect(await claimNumber(folder, 7)).toBeUndefined();
  expect(await readdir(folder)).toEqual(["lock.7"]);

  await writeFile(path.join(folder, "lock.7"), "");
  expect(await claimNumber(folder, 8)).toBe("lock.8");
  expect(await readdir(folder)).toEqual(["lock.8"]);
});

test("a refusal of the file system is passed on, and leaves no draft", async () => {
  const number = "1/of-no-folder" as unknown as number;
  await expect(claimNumber(folder, number)).rejects.toThrow(/ENOENT/);
  expect(await readdir(folder)).toEqual([]);
});
