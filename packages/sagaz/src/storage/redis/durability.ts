import { isSagaError, SagaError } from "../../core/errors.ts";
import type { Database } from "./database.ts";
import { calledCommands, forbiddenScript } from "./scripts/rights.ts";

/** What a start looks for. */
export interface DurabilityWanted {
  /** True: what would lose sagas is only noticed. */
  readonly mayLose: boolean;
  readonly onNotice: (notice: string) => void;
}

/**
 * Looks whether the server is set up to keep what it accepts, and lets us do all that a script does: one that is stopped half-way
 * is not rolled back. A managed Redis may not tell its settings; then that is noticed.
 *
 * @throws SagaError `SAGAZ_STORAGE_UNSAFE`, `SAGAZ_STORAGE_UNAVAILABLE`.
 */
export async function checkDurability(
  database: Database,
  { mayLose, onNotice }: DurabilityWanted,
): Promise<void> {
  const settings = await readSettings(database);
  if (!settings)
    onNotice("Redis does not tell how it keeps data: make sure that appendonly is on and nothing is evicted");
  if (settings?.get("appendfsync") === "no")
    onNotice("appendfsync is no, so a machine that loses power loses about half a minute; set everysec");
  const dangers = [...(await listForbidden(database)), ...(settings ? listDangers(settings) : [])];
  if (dangers.length === 0) return;
  const message = dangers.join("; ");
  if (!mayLose) throw new SagaError("SAGAZ_STORAGE_UNSAFE", { message });
  onNotice(`Redis may lose sagas: ${message}`);
}

async function readSettings(database: Database): Promise<ReadonlyMap<string, string> | undefined> {
  const found = new Map<string, string>();
  for (const name of ["appendonly", "appendfsync", "maxmemory-policy"]) {
    const answer = await database.command("CONFIG", ["GET", name]).catch(untold);
    if (!Array.isArray(answer) || answer.length < 2) return undefined;
    found.set(name, String(answer[1]));
  }
  return found;
}

/** The command is unknown, or forbidden; a server that is away has not said that it does not tell. */
function untold(error: unknown): undefined {
  if (isSagaError(error, "SAGAZ_STORAGE_REFUSED")) return;
  if (isSagaError(error) && /: NOPERM /.test(error.message)) return;
  throw error;
}

async function listForbidden(database: Database): Promise<readonly string[]> {
  const call = { script: forbiddenScript, request: { commands: calledCommands } };
  const forbidden = await database.look<string[]>(call);
  if (forbidden.length === 0) return [];
  return [`its user may not call ${forbidden.join(", ")} on our keys, so scripts stop half-way`];
}

function listDangers(settings: ReadonlyMap<string, string>): readonly string[] {
  const policy = settings.get("maxmemory-policy");
  return [
    ...(settings.get("appendonly") === "yes"
      ? []
      : ["appendonly is off, so a restart loses what came after the last snapshot"]),
    ...(policy === "noeviction"
      ? []
      : [`maxmemory-policy is ${policy}, so a full memory deletes sagas; set noeviction`]),
  ];
}
