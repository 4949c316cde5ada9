import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

const root = import.meta.dirname;

/** `sagaz/…` means the sources in tests, so that coverage counts them; read from the exports map, so the two cannot drift. */
function sourceAliases() {
  const { exports } = JSON.parse(readFileSync(`${root}/packages/sagaz/package.json`, "utf8")) as {
    exports?: Record<string, { default: string } | string>;
  };
  return Object.entries(exports ?? {}).flatMap(([subpath, target]) =>
    typeof target === "string"
      ? []
      : {
          find: new RegExp(`^sagaz${subpath.slice(1)}$`),
          replacement: `${root}/packages/sagaz/${target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts")}`,
        },
  );
}

export default defineConfig({
  // Node runs no decorators: esbuild lowers the TC39 ones at this target.
  esbuild: { target: "es2022" },
  resolve: { alias: sourceAliases() },
  test: {
    maxWorkers: "100%", // most tests wait for a fake clock or a server; vitest's own choice is one core less
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [
            "packages/*/src/**/*.test.ts",
            "apps/*/src/**/*.test.ts",
            "tools/**/*.test.ts",
            "bench/**/*.test.ts",
          ],
          exclude: ["**/node_modules/**", "**/*.int.test.ts", "**/*.broker.test.ts"],
          testTimeout: 30_000, // against hanging: counted for coverage, beside a busy neighbour, all takes far longer
        },
      },
      {
        extends: true,
        test: {
          name: "types",
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: ["packages/*/src/**/*.test-d.ts"],
            tsconfig: "tests/tsconfig.json",
            ignoreSourceErrors: true, // `npm run check` type-checks the sources
          },
        },
      },
      {
        extends: true,
        test: {
          name: "int",
          include: ["packages/*/src/**/*.int.test.ts", "tools/**/*.int.test.ts", "bench/**/*.int.test.ts"],
          globalSetup: ["tools/postgres-for-tests.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // More than there are cores: mostly it waits for a server that starts, or is away.
        extends: true,
        test: {
          name: "brokers",
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
          include: ["packages/*/src/**/*.broker.test.ts", "tools/**/*.broker.test.ts"],
          globalSetup: ["tools/brokers-for-tests.ts"],
          testTimeout: 120_000, // a Kafka takes 3 s to start, and beside a busy neighbour far longer
          hookTimeout: 120_000,
        },
      },
      {
        // Does not extend: here `sagaz` is the built package, as in the worker processes that these tests start. One
        // scenario at a time, when the other tiers are through: its processes are enough for one machine.
        test: {
          name: "system",
          include: ["tests/system/*.test.ts"],
          globalSetup: ["tools/postgres-for-tests.ts", "tests/system/build-programs.ts"],
          testTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // As `system`, three at a time: much of it waits for what is away.
        test: {
          name: "chaos",
          include: ["tests/system/{delivery,participants}/*.test.ts"],
          globalSetup: ["tools/postgres-for-tests.ts", "tests/system/build-programs.ts"],
          testTimeout: 60_000,
          maxWorkers: 3,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: "tidy",
          include: ["tests/tidy/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: { name: "simulation", include: ["tests/simulation/**/*.test.ts"], testTimeout: 300_000 },
      },
      {
        extends: true,
        test: {
          name: "examples",
          include: ["examples/**/*.test.ts", "tests/docs/**/*.test.ts"],
          testTimeout: 300_000,
        },
      },
    ],
    coverage: {
      provider: "v8",
      // By path, so that a file which no test imports counts as not covered. What is generated holds only texts, every
      // line of which is covered by reading one: it would but flatter the figure.
      include: ["packages/sagaz/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/*.test-d.ts", "**/*.generated.ts"],
      reporter: [["text", { skipFull: true }], "json", "html"],
      reportsDirectory: "coverage",
      reportOnFailure: true, // the figure is worth reading, though the run has failed
      thresholds: {
        lines: 96,
        branches: 96,
        "packages/sagaz/src/core/**": { lines: 100, branches: 100, functions: 100, statements: 100 },
      },
    },
  },
});
