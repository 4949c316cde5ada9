import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { serverUser } from "./scratch-folder.ts";

/** What to run and where its output goes. */
export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** A file; the server keeps writing to it even when we are gone, where a pipe would break under it. */
  readonly logFile: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Removed by the guard when our process dies before the server was stopped. */
  readonly scratchFolder?: string;
  /** What the guard ends it with: `QUIT` (the default) unless the server takes that for something else, as Java does. */
  readonly guardSignal?: "QUIT" | "KILL";
}

/** A server process of ours, known by its pid. */
export interface ServerProcess {
  readonly pid: number;
  /** Resolves when the process has ended, with its exit status or signal. */
  readonly exited: Promise<string>;
  hasExited(): boolean;
  /** Everything it has written so far. */
  log(): string;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signals one after the other, each after `graceMs` milliseconds, until the process has ended. */
  stop(signals: readonly NodeJS.Signals[], graceMs?: number): Promise<void>;
}

/**
 * The guard waits at the end of a pipe that only our process holds open. However we die, `kill -9` included,
 * the kernel closes the pipe and the guard stops the server: nobody has to remember to, and nothing polls.
 */
const guardScript = `
while read -r _; do :; done
kill -CONT "$1" 2>/dev/null; kill "-$3" "$1" 2>/dev/null
i=0; while kill -0 "$1" 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
kill -KILL "$1" 2>/dev/null
[ -n "$2" ] && rm -rf "$2"
`;

/**
 * Starts a server as an unprivileged user in a session of its own, so that Ctrl-C in the terminal reaches us and
 * not the server, with a guard that stops it should we die.
 *
 * @throws Error when the program cannot be run at all; a server that ends at once shows in `hasExited`.
 */
export async function startServerProcess(options: ServerCommand): Promise<ServerProcess> {
  const output = openSync(options.logFile, "a", 0o644);
  const child = spawn(options.command, [...options.args], {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C", ...options.env },
    stdio: ["ignore", output, output],
    detached: true,
    ...serverUser(),
  });
  closeSync(output);
  const exited = new Promise<string>((resolve) => {
    child.once("exit", (status, signal) => resolve(signal ?? `status ${status}`));
  });
  await new Promise<void>((resolve, reject) => {
    child.once("error", (cause) => reject(new Error(`${options.command} cannot be run.`, { cause })));
    child.once("spawn", resolve);
  });
  guard(child, options);
  child.unref();
  return describe(child, exited, options.logFile);
}

function guard(child: ChildProcess, { scratchFolder = "", guardSignal = "QUIT" }: ServerCommand): void {
  const args = [String(child.pid), scratchFolder, guardSignal];
  const watcher = spawn("/bin/sh", ["-c", guardScript, "sagaz-guard", ...args], {
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watcher.unref();
  // The pipe must stay open without keeping our own process alive.
  (watcher.stdin as unknown as { unref(): void }).unref();
  child.once("exit", () => watcher.kill("SIGKILL"));
}

function describe(child: ChildProcess, exited: Promise<string>, logFile: string): ServerProcess {
  const hasExited = () => child.exitCode !== null || child.signalCode !== null;
  const signal = (name: NodeJS.Signals) => {
    if (!hasExited()) child.kill(name);
  };
  return {
    pid: child.pid as number,
    exited,
    hasExited,
    signal,
    log: () => readFileSync(logFile, "utf8"),
    async stop(signals, graceMs = 10_000) {
      signal("SIGCONT");
      for (const name of [...signals, "SIGKILL" as const]) {
        if (hasExited()) return;
        signal(name);
        await settlesWithin(exited, graceMs);
      }
    },
  };
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([promise, deadline]);
  clearTimeout(timer);
}

/** The pids of a process's children, read from `/proc`; empty where there is none (macOS). */
export async function listChildPids(pid: number): Promise<number[]> {
  const entries = await readdir("/proc").catch(() => []);
  const found = await Promise.all(
    entries
      .filter((entry) => /^\d+$/.test(entry))
      .map(async (entry) => {
        const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => "");
        // The second field is the program's name in parentheses and may hold anything, so count from its end.
        const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
        return parent === pid ? Number(entry) : undefined;
      }),
  );
  return found.filter((child) => child !== undefined);
}
