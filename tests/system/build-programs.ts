import { mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { build } from "vite";
import type { TestProject } from "vitest/node";

/** What runs in processes of its own, by name. */
const sources = {
  worker: "worker.ts",
  reader: "reader.ts",
  relay: "delivery/relay.ts",
  consumer: "delivery/consumer.ts",
  orchestrator: "participants/orchestrator.ts",
};
type Name = keyof typeof sources;

declare module "vitest" {
  export interface ProvidedContext {
    /** Where the programs of processes are: `inject("programs").worker`. */
    programs: Readonly<Record<Name, string>>;
  }
}

/** Vitest's global set-up of the system tests: compiles the programs once, which start in a third of the time that way. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Inside the repository, so that the programs find the packages that they import.
  const cache = path.join(import.meta.dirname, "../../node_modules/.cache");
  await mkdir(cache, { recursive: true });
  const outDir = await mkdtemp(path.join(cache, "system-programs-"));
  const toEach = (place: (name: Name) => string) =>
    Object.fromEntries((Object.keys(sources) as Name[]).map((name) => [name, place(name)])) as Record<
      Name,
      string
    >;
  await build({
    configFile: false,
    logLevel: "warn",
    ssr: { external: ["sagaz", "pg", "ioredis"] },
    build: {
      ssr: true,
      outDir,
      rollupOptions: {
        input: toEach((name) => path.join(import.meta.dirname, sources[name])),
        output: { entryFileNames: "[name].mjs" },
      },
    },
  });
  project.provide(
    "programs",
    toEach((name) => path.join(outDir, `${name}.mjs`)),
  );
  return () => rm(outDir, { recursive: true });
}
