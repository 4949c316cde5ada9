import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, expect, test } from "vitest";
import { looked, root } from "../tidy/repository.ts";
import { ProgramFolder } from "./program-folder.ts";
import { listSnippets, type Snippet } from "./snippets.ts";

const snippets = looked(listSnippets(), "snippets");

/** A snippet gets a path in the repository, so that `sagaz` is found as a user's code finds it. */
function toPath({ place }: Snippet): string {
  return join(root, `${place.replace(":", ".")}.ts`);
}

function compile(all: readonly Snippet[], own?: object): string[] {
  const sources = new Map(all.map((snippet) => [toPath(snippet), `${snippet.code}\nexport {};\n`]));
  const { config } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile) as {
    config: { compilerOptions: object };
  };
  const ours = {
    ...config.compilerOptions,
    noEmit: true,
    types: ["node"],
    rewriteRelativeImportExtensions: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
  };
  const { options } = ts.convertCompilerOptionsFromJson(own ?? ours, root);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => sources.get(path) ?? readFile(path);
  host.getSourceFile = (path, language) => {
    const text = sources.get(path);
    return text === undefined
      ? getSourceFile(path, language)
      : ts.createSourceFile(path, text, language, true);
  };
  const roots = [...sources.keys(), join(root, "tests/docs/surroundings.d.mts")];
  const program = ts.createProgram({ rootNames: roots, options, host });
  return ts.getPreEmitDiagnostics(program).map(toComplaint);
}

function toComplaint({ file, start, messageText }: ts.Diagnostic): string {
  const text = ts.flattenDiagnosticMessageText(messageText, "\n");
  if (!file || start === undefined) return text;
  const { line } = file.getLineAndCharacterOfPosition(start);
  return `${file.fileName.slice(root.length + 1)}, line ${line + 1} of the snippet: ${text}`;
}

test("every snippet compiles", () => {
  expect(compile(snippets)).toEqual([]);
});

test("the tutorial compiles with no more settings than it names", () => {
  const tutorial = snippets.filter(({ place, runs }) => place.startsWith("docs/tutorials/") && runs);
  const named = { target: "ES2022", types: ["node"], strict: true, module: "nodenext", noEmit: true };
  expect(compile(looked(tutorial, "programs"), named)).toEqual([]);
});

test("a snippet that does not compile is found", () => {
  const wrong = {
    place: "x.md:1",
    code: 'import { Sage } from "sagaz"; new Sage();',
    runs: false,
    prints: undefined,
  };
  expect(compile([wrong]).join()).toContain("Sage");
});

const programs = looked(
  snippets.filter(({ runs }) => runs),
  "programs",
);

const programFolder = new ProgramFolder();
afterAll(() => programFolder[Symbol.asyncDispose]());

/** Below node_modules, so that `sagaz` is found, and git does not see it. */
const sources = join(root, "node_modules/.cache/sagaz-docs");

test.concurrent.each(programs.map((program) => [program.place, program] as const))(
  "the program at %s prints what the page says",
  async (place, { code, prints = "" }) => {
    mkdirSync(sources, { recursive: true });
    const file = join(sources, `${place.replaceAll(/[^\w]/g, "-")}.mts`);
    writeFileSync(file, code);
    expect(await programFolder.run(file)).toEqual({ output: prints, status: 0 });
  },
);
