import { readFileSync } from "node:fs";

/** What Linux knows of a process: enough to tell it from a later one that got the same pid. */
interface LinuxProcess {
  readonly program: string;
  readonly isZombie: boolean;
  readonly startTicks: string;
}

/**
 * Names a running process so that a later one with the same pid is not taken for it: `"4711:83920"`.
 *
 * The second part is the start time that Linux reports; elsewhere it is empty and the pid must do.
 */
export function identifyProcess(pid: number): string {
  return `${pid}:${readLinuxProcess(pid)?.startTicks ?? ""}`;
}

/** Tells whether the process that {@link identifyProcess} named still runs. A zombie does not: it holds nothing any more. */
export function isProcessRunning(identity: string): boolean {
  const [pid, startTicks] = identity.split(":");
  if (!isPidRunning(Number(pid))) return false;
  const found = readLinuxProcess(Number(pid));
  return found === undefined || !startTicks || found.startTicks === startTicks;
}

/** Tells whether any process with this pid runs, whoever owns it; zombies do not count where they can be told. */
export function isPidRunning(pid: number): boolean {
  return isPidTaken(pid) && readLinuxProcess(pid)?.isZombie !== true;
}

/** Tells whether the kernel still holds this pid, zombies included. */
export function isPidTaken(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The program's short name (`"postgres"`), or undefined where the system does not tell. */
export function findProgramName(pid: number): string | undefined {
  return readLinuxProcess(pid)?.program;
}

function readLinuxProcess(pid: number): LinuxProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the name in parentheses and may itself hold blanks and parentheses: cut at the last one.
    const end = stat.lastIndexOf(")");
    const fields = stat.slice(end + 2).split(" ");
    return {
      program: stat.slice(stat.indexOf("(") + 1, end),
      isZombie: fields[0] === "Z",
      startTicks: String(fields[19]),
    };
  } catch {
    // Gone, or another system, which has no such file.
    return undefined;
  }
}
