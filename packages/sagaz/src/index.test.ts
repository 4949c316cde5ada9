import { afterEach, expect, test, vi } from "vitest";
import { ClassicSaga, configure, shutdown } from "./index.ts";

// What a reader of the README does first: import, run, nothing configured.

const saga = () => new ClassicSaga<number>({ name: "first" }).addStep("a", (ctx) => ctx.input + 1);

afterEach(async () => {
  await shutdown();
  vi.unstubAllEnvs();
});

test("without a word about storage a saga runs in memory", async () => {
  vi.stubEnv("SAGAZ_STORAGE_URL", undefined);
  expect(await saga().execute(1)).toMatchObject({ status: "completed", output: { a: 2 } });
});

test("SAGAZ_STORAGE_URL names the storage", async () => {
  vi.stubEnv("SAGAZ_STORAGE_URL", "memory:");
  expect(await saga().execute(1)).toMatchObject({ status: "completed" });
  configure({});
  vi.stubEnv("SAGAZ_STORAGE_URL", "mysql://host/db");
  await expect(saga().execute(1)).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_STORAGE" });
});
