import { cpus, release, totalmem } from "node:os";
import { serverSettings, type BenchServer } from "./server.ts";

/** Where a run took place, without names of hosts or folders. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly os: string;
  readonly node: string;
  readonly postgresql: string;
  /** Settings that differ from PostgreSQL's defaults. */
  readonly postgresqlSettings: Readonly<Record<string, string>>;
}

/** Describes this machine and its server. */
export function describeMachine(server: BenchServer): Machine {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: `${process.platform} ${release()} ${process.arch}`,
    node: process.versions.node,
    postgresql: server.version,
    postgresqlSettings: serverSettings,
  };
}
