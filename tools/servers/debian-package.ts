import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

const installTimeoutMs = 300_000;

/** What has been tried to install: once a process is enough, whether it worked or not. */
const installations = new Map<string, Promise<string | undefined>>();

/** A program for tests, or why there is none on this machine: the reason goes into the name of the skipped test. */
export type Search = { readonly program: string } | { readonly missing: string };

/** A program that tests run, and the Debian package that has it. */
export interface WantedProgram {
  readonly name: string;
  readonly debianPackage: string;
  /** Folders to look into before those of PATH. */
  readonly folders?: readonly string[];
}

/**
 * Finds a program, and installs its Debian package when it is missing and we are root.
 *
 * Never throws: where it cannot be had, `missing` says why.
 */
export async function findProgram(wanted: WantedProgram): Promise<Search> {
  const { name, debianPackage } = wanted;
  const installed = findInstalled(wanted);
  if (installed !== undefined) return { program: installed };
  if (process.getuid?.() !== 0) return { missing: `${name} is not installed and we are not root` };
  if (!existsSync("/usr/bin/apt-get")) return { missing: `${name} is not installed and there is no apt-get` };
  const installation = installations.get(debianPackage) ?? install(debianPackage);
  installations.set(debianPackage, installation);
  const failure = await installation;
  const program = findInstalled(wanted);
  return program === undefined
    ? { missing: `${name} cannot be installed: ${failure ?? `${debianPackage} does not have it`}` }
    : { program };
}

function findInstalled({ name, folders = [] }: WantedProgram): string | undefined {
  const inPath = (process.env["PATH"] ?? "").split(path.delimiter);
  return [...folders, ...inPath, "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => path.join(folder, name))
    .find((program) => existsSync(program));
}

async function install(debianPackage: string): Promise<string | undefined> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (...args: string[]) => promisify(execFile)("apt-get", args, { env, timeout: installTimeoutMs });
  const install = [
    "install",
    "-y",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=240",
    debianPackage,
  ];
  try {
    await run(...install).catch(async () => {
      // A fresh image has no package lists.
      await run("update");
      await run(...install);
    });
    return undefined;
  } catch (error) {
    return (error as Error).message.split("\n")[0];
  }
}
