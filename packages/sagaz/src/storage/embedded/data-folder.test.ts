import { chmod, lstat, mkdir, mkdtemp, realpath, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDataFolder } from "./data-folder.ts";

const isRoot = process.getuid?.() === 0;
const notRoot = "PostgreSQL runs as another user only when we are root";
let scratch: string;

beforeEach(async () => {
  scratch = await realpath(await mkdtemp(path.join(tmpdir(), "sagaz-folder-")));
  await chmod(scratch, 0o755);
});
afterEach(() => rm(scratch, { recursive: true }));

test("is made with its parents, closed to others, and opened again as it is", async () => {
  const dataDir = path.join(scratch, "a", "b");
  const folder = await openDataFolder(dataDir);
  expect(folder.path).toBe(dataDir);
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  expect(await openDataFolder(dataDir)).toEqual(folder);
});

test("as root it belongs to the user whom the server runs as", async ({ skip }) => {
  skip(!isRoot, notRoot);
  const folder = await openDataFolder(path.join(scratch, "data"));
  expect(folder.user).toEqual({ uid: 65_534, gid: 65_534 });
  expect((await stat(folder.path)).uid).toBe(65_534);
});

test("as root, below a closed folder, it is a link to a place that the server can reach", async ({
  skip,
}) => {
  skip(!isRoot, notRoot);
  await chmod(scratch, 0o700);
  const dataDir = path.join(scratch, "data");
  await mkdir(dataDir); // empty: as good as none
  const [first, second] = await Promise.all([openDataFolder(dataDir), openDataFolder(dataDir)]);
  try {
    expect(first.path).toMatch(/^\/var\/lib\/sagaz\/postgres-/);
    expect(second).toEqual(first);
    expect((await lstat(dataDir)).isSymbolicLink()).toBe(true);
    expect(await openDataFolder(dataDir)).toEqual(first);
  } finally {
    await rm(first.path, { recursive: true });
  }
});

test("as root, a folder with data below a closed one is refused and left where it is", async ({ skip }) => {
  skip(!isRoot, notRoot);
  const { path: dataDir } = await openDataFolder(path.join(scratch, "data"));
  await chmod(scratch, 0o700);
  await expect(openDataFolder(dataDir)).rejects.toThrow(/may not enter a folder on the way there/);
  expect((await lstat(dataDir)).isDirectory()).toBe(true);
});

test("the refusal of the file system is passed on when the folder cannot be made", async () => {
  await writeFile(path.join(scratch, "file"), "");
  await expect(openDataFolder(path.join(scratch, "file", "data"))).rejects.toThrow(/EEXIST|ENOTDIR/);
});
