import { spawn } from "node:child_process";

/** Who a program runs as; undefined means: as ourselves. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** One run of a server program. */
export interface ProgramRun {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly user: ServerUser | undefined;
  readonly timeoutMs: number;
}

/** How a program ended: `status` is its exit status, or null when it could not be run or was killed for taking too long. */
export interface ProgramResult {
  readonly status: number | null;
  /** Standard output and error together, or why it could not be run. */
  readonly output: string;
}

/**
 * Runs a server program to its end; never throws.
 *
 * It waits for the exit and not for the pipes to close: a server that the program leaves behind may hold them.
 */
export function runProgram(run: ProgramRun): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(run.program, [...run.args], {
      cwd: run.cwd,
      env: serverEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...run.user,
    });
    let output = "";
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, run.timeoutMs);
    const finish = (status: number | null, note = "") => {
      clearTimeout(deadline);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ status, output: [output.trim(), note].filter(Boolean).join("\n") });
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (part: Buffer) => (output += part.toString()));
    }
    child.once("error", (error) => finish(null, error.message));
    child.once("exit", (status, signal) => {
      const note = isLate ? `it did not finish within ${run.timeoutMs} ms` : (signal ?? "");
      // What it wrote last may still be on its way through the pipe.
      setImmediate(finish, status, note);
    });
  });
}

/** Ours without the `PG…` variables, which would redirect the programs, and with messages in English, which we read. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("PG"));
  return { ...Object.fromEntries(kept), LC_ALL: "C" };
}
