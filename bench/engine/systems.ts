import type { System } from "./system.ts";

/** Every system by name; each is imported only by the process that runs it. */
const importers: Readonly<Record<string, () => Promise<System>>> = {
  sagaz: async () => (await import("./sagaz.ts")).sagaz,
  dbos: async () => (await import("./dbos.ts")).dbos,
  "pg-boss": async () => (await import("./pg-boss.ts")).pgBoss,
  "pg-boss-gathered": async () => (await import("./pg-boss.ts")).pgBossGathered,
};

/** The names that `--only` takes. */
export const systemNames: readonly string[] = Object.keys(importers);

/**
 * Imports one system.
 *
 * @throws Error naming the known ones when there is none of that name.
 */
export async function importSystem(name: string): Promise<System> {
  const importer = importers[name];
  if (importer === undefined) throw new Error(`No system "${name}"; there are ${systemNames.join(", ")}.`);
  return importer();
}
