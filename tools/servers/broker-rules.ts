import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import path from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { findFreePort } from "./free-port.ts";
import type { FindBrokerOptions, NamedServer } from "./named-broker.ts";
import type { TestBroker } from "./scratch-broker.ts";
import { waitUntil } from "./wait-until.ts";

/** A launcher of brokers, and what it takes to see that its broker lives and keeps what it was given. */
export interface LauncherUnderTest<Found extends object> {
  /** The file of `find` and `start`. */
  readonly file: string;
  readonly find: (options: FindBrokerOptions) => Promise<NamedServer | Found | { readonly missing: string }>;
  readonly start: (found: NamedServer | Found) => Promise<TestBroker>;
  /** The environment variable that names a running server. */
  readonly variable: string;
  /** False when nobody listens or nothing is said. */
  readonly answers: (broker: TestBroker) => Promise<boolean>;
  /** True when the broker has promised to keep what it was given. */
  readonly put: (broker: TestBroker) => Promise<boolean>;
  /** True when the broker still has it. */
  readonly has: (broker: TestBroker) => Promise<boolean>;
}

/** The rules that the launcher of every broker keeps, as tests. */
export function testLauncher<Found extends object>(title: string, launcher: LauncherUnderTest<Found>): void {
  describe(title, () => {
    test("keeps its data and its port over kill -9 and over a clean restart; stop leaves nothing", async ({
      skip,
    }) => {
      const found = await launcher.find({ own: true });
      if ("missing" in found) return skip(found.missing);
      const broker = await launcher.start(found);
      onTestFinished(() => broker.stop());
      await outlivesItsServer(launcher, broker);
      await stopsForGood(broker);
    });

    test("leaves neither a process nor data when its starter is kill -9ed", async ({ skip }) => {
      const found = await launcher.find({ own: true });
      if ("missing" in found) return skip(found.missing);
      const starter = await startElsewhere(launcher, found);
      const folder = await readlink(`/proc/${starter.brokerPid}/cwd`);
      expect(await listProcessesIn(folder)).toContain(starter.brokerPid);
      starter.kill();
      await waitUntil(
        "the orphan is gone",
        async () => !existsSync(folder) && (await listProcessesIn(folder)).length === 0,
      );
    });

    test("uses the environment's server when it names one, and cannot break it", async () => {
      const named = { url: "kept://127.0.0.1:10101", variable: launcher.variable };
      vi.stubEnv(launcher.variable, named.url);
      onTestFinished(() => void vi.unstubAllEnvs());
      expect(await launcher.find({})).toEqual(named);
      expect(await launcher.find({ own: true })).not.toHaveProperty("url");
      const broker = await launcher.start(named);
      expect(broker).toMatchObject({ url: named.url, port: 10_101, isOwn: false });
      expect(() => broker.kill()).toThrow(/not ours/);
      await broker.stop();
    });
  });
}

async function outlivesItsServer<Found extends object>(
  { answers, put, has }: LauncherUnderTest<Found>,
  broker: TestBroker,
): Promise<void> {
  const { url, pid } = broker;
  expect(broker.isOwn).toBe(true);
  expect(broker.port).toBeLessThan(32_768);
  expect(await has(broker)).toBe(false);
  expect(await put(broker)).toBe(true);

  await broker.kill();
  expect(isAlive(pid)).toBe(false);
  expect(await answers(broker)).toBe(false);
  await broker.restart();
  expect(broker.pid).not.toBe(pid);
  expect(await has(broker)).toBe(true);

  await broker.restart();
  expect(broker.url).toBe(url);
  expect(await has(broker)).toBe(true);

  await broker.pause();
  expect(await answers(broker)).toBe(false);
  await broker.resume();
  expect(await answers(broker)).toBe(true);
}

async function stopsForGood(broker: TestBroker): Promise<void> {
  const { pid, port } = broker;
  await broker.stop();
  await broker.stop();
  expect(isAlive(pid)).toBe(false);
  expect(await findFreePort(port)).toBe(port);
}

/** Starts the broker from a process of its own. */
async function startElsewhere<Found extends object>(
  { file, start }: LauncherUnderTest<Found>,
  found: NamedServer | Found,
): Promise<{ brokerPid: number; kill: () => void }> {
  const script = `
    import { ${start.name} } from ${JSON.stringify(path.join(import.meta.dirname, file))};
    const broker = await ${start.name}(${JSON.stringify(found)});
    console.log(broker.pid);
    setInterval(() => {}, 1000);
  `;
  const starter = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const brokerPid = await new Promise<number>((resolve, reject) => {
    starter.stdout.once("data", (line: Buffer) => resolve(Number(line.toString())));
    starter.once("exit", () => reject(new Error(`The process that called ${start.name} has ended.`)));
  });
  return { brokerPid, kill: () => starter.kill("SIGKILL") };
}

/** The processes whose working folder that is: all that a launcher starts for its broker, and their children. */
async function listProcessesIn(folder: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const folders = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
  return pids.filter((_, index) => folders[index]?.startsWith(folder)).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
