import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { root } from "./repository.ts";

const coreFolder = join(root, "packages/sagaz/src/core");

/** Compiles one planted file as if it stood in the core; answers the TypeScript error codes. */
function compileInCore(source: string): number[] {
  const { config } = ts.readConfigFile(join(coreFolder, "tsconfig.json"), ts.sys.readFile) as {
    config: unknown;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, coreFolder);
  const planted = join(coreFolder, "planted.ts");
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile } = host;
  host.fileExists = (path) => path === planted || fileExists(path);
  host.readFile = (path) => (path === planted ? source : readFile(path));
  host.getSourceFile = (path, languageVersion) => {
    const text = host.readFile(path);
    return text === undefined ? undefined : ts.createSourceFile(path, text, languageVersion);
  };
  const program = ts.createProgram({ rootNames: [planted], options: { ...options, noEmit: true }, host });
  return ts.getPreEmitDiagnostics(program).map(({ code }) => code);
}

test("pure code compiles in the core", () => {
  expect(compileInCore("export const a: Promise<number> = Promise.resolve(1);\n")).toEqual([]);
});

test.each([
  "process.exit();",
  "fetch(``);",
  "setTimeout(() => {}, 1);",
  "console.log(1);",
  "performance.now();",
  "Buffer.from(``);",
  'import { readFileSync } from "node:fs";\nreadFileSync(``);',
  'import { randomUUID } from "node:crypto";\nrandomUUID();',
])("%s does not compile in the core", (source) => {
  // 2304, 2552, 2580, 2584, 2591, 2307: it cannot find this name, or this module
  const codes = compileInCore(`${source}\nexport {};\n`);
  expect(codes.filter((code) => [2304, 2307, 2552, 2580, 2584, 2591].includes(code))).toHaveLength(1);
});
