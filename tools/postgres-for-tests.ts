import type { TestProject } from "vitest/node";
import { logicalSettings, startPostgres } from "./servers/postgres.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** URL of a PostgreSQL superuser on a server that this test run owns or was given: `inject("postgresUrl")`. */
    postgresUrl: string;
  }
}

/** Vitest's global set-up of the tiers that need a real PostgreSQL: one server a run, found or started by `startPostgres`. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Nobody cuts this machine's power, and a database that is dropped would wait until all others are on disk.
  const server = await startPostgres({ settings: { ...logicalSettings, fsync: false } });
  project.provide("postgresUrl", server.url);
  return () => server.stop();
}
