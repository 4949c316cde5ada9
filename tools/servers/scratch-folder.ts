import { chown, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** The user servers run as when we are root: `nobody`, which every Unix image has. */
const unprivilegedId = 65534;

/** The uid and gid to start a server with, or undefined when we are not root and simply stay who we are. */
export function serverUser(): { uid: number; gid: number } | undefined {
  return process.getuid?.() === 0 ? { uid: unprivilegedId, gid: unprivilegedId } : undefined;
}

/**
 * Makes an empty folder that a server's user owns and can reach.
 *
 * A temporary folder inside somebody's closed home would let us in as root and the server not, so the first
 * base that everyone may pass through is taken. The caller removes it with {@link removeScratchFolder}.
 *
 * @throws Error when neither the temporary folder nor `/tmp` nor `/var/tmp` can be reached by that user.
 */
export async function makeScratchFolder(name: string): Promise<string> {
  const user = serverUser();
  for (const base of [tmpdir(), "/tmp", "/var/tmp"]) {
    if (user && !(await everyoneMayPass(base))) continue;
    const folder = await mkdtemp(path.join(base, `sagaz-${name}-`));
    if (user) await chown(folder, user.uid, user.gid);
    return folder;
  }
  throw new Error(`No temporary folder can be reached by uid ${unprivilegedId}; set TMPDIR to one that can.`);
}

/** Removes a scratch folder and all that is in it; quiet when it is gone already. */
export async function removeScratchFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** True when any user can reach what lies in that folder: neither it nor a folder above it is closed to others. */
export async function everyoneMayPass(folder: string): Promise<boolean> {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) return false;
  const parent = path.dirname(folder);
  return parent === folder || everyoneMayPass(parent);
}
