import { mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { build } from "vite";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** The program of a worker process: `inject("workerProgram")`. */
    workerProgram: string;
  }
}

/** Vitest's global set-up of the system tests: compiles the worker once, which starts in a third of the time that way. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Inside the repository, so that the program finds the packages that it imports.
  const cache = path.join(import.meta.dirname, "../../node_modules/.cache");
  await mkdir(cache, { recursive: true });
  const outDir = await mkdtemp(path.join(cache, "system-worker-"));
  await build({
    configFile: false,
    logLevel: "warn",
    ssr: { external: ["sagaz", "pg"] },
    build: {
      ssr: path.join(import.meta.dirname, "worker.ts"),
      outDir,
      rollupOptions: { output: { entryFileNames: "worker.mjs" } },
    },
  });
  project.provide("workerProgram", path.join(outDir, "worker.mjs"));
  return () => rm(outDir, { recursive: true });
}
