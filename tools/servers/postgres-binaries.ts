import { existsSync, readdirSync } from "node:fs";
import path from "node:path";

/** The environment variable that names a folder of PostgreSQL's programs to take before all others. */
export const binDirVariable = "SAGAZ_TEST_POSTGRES_BIN";

/**
 * The PostgreSQL that the environment names, else the newest one installed on this machine (Debian's folders,
 * Homebrew's, then PATH), or undefined.
 */
export function findInstalledPostgres(): string | undefined {
  const candidates = [
    process.env[binDirVariable] ?? "",
    ...versionsBelow("/usr/lib/postgresql", (version) => path.join(version, "bin")),
    ...versionsBelow("/opt/homebrew/opt", (name) => path.join(name, "bin"), /^postgresql@\d+$/),
    ...(process.env["PATH"] ?? "").split(path.delimiter),
  ];
  return candidates.find((folder) => isComplete(folder));
}

/** A folder of PostgreSQL programs counts only when it can both make and run a cluster; clients alone do not. */
function isComplete(binDir: string): boolean {
  return ["initdb", "postgres"].every((program) => existsSync(path.join(binDir, program)));
}

/** Folders below `root` whose names match, the highest version number first. */
function versionsBelow(root: string, toBinDir: (name: string) => string, pattern = /^\d+$/): string[] {
  if (!existsSync(root)) return [];
  const names = readdirSync(root).filter((name) => pattern.test(name));
  names.sort((a, b) => toMajor(b) - toMajor(a));
  return names.map((name) => path.join(root, toBinDir(name)));
}

function toMajor(name: string): number {
  return Number(name.replace(/^\D+/, ""));
}
