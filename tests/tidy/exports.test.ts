import { existsSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { beforeAll, expect, test } from "vitest";
import { grep, listFiles, listSubpaths, looked, readJson, root } from "./repository.ts";

interface Export {
  readonly name: string;
  readonly doc: string;
}

let exportsOf: Map<string, Export[]>;

function readExports(program: ts.Program, source: string): Export[] {
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(join(root, source));
  const module = file && checker.getSymbolAtLocation(file);
  if (!module) return [];
  return checker.getExportsOfModule(module).map((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return { name: symbol.name, doc: ts.displayPartsToString(target.getDocumentationComment(checker)) };
  });
}

function toBuilt(source: string): string {
  return source.replace("packages/sagaz/src/", "./dist/").replace(/\.ts$/, ".js");
}

beforeAll(() => {
  const folder = join(root, "packages/sagaz");
  const { config } = ts.readConfigFile(join(folder, "tsconfig.json"), ts.sys.readFile) as { config: unknown };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const sources = listSubpaths().map(({ source }) => source);
  const program = ts.createProgram({ rootNames: sources.map((path) => join(root, path)), options });
  exportsOf = new Map(sources.map((source) => [source, readExports(program, source)]));
});

test("every subpath resolves: in the sources, and in what is published", async () => {
  for (const { subpath, source, built } of looked(listSubpaths(), "subpaths")) {
    expect(existsSync(join(root, source)), `${subpath}: ${source}`).toBe(true);
    expect(existsSync(join(root, built.replace(/\.js$/, ".d.ts"))), `${subpath}: types beside ${built}`).toBe(
      true,
    );
    const module = (await import(join(root, built))) as object;
    expect(Object.keys(module).length, `${subpath} exports nothing at run time`).toBeGreaterThan(0);
  }
});

test("every front door of the sources is a subpath", () => {
  const doors = listFiles(
    /^packages\/sagaz\/src\/(index|(testing|transactions)\/index|(storage|brokers|observe)\/[^/]+\/index)\.ts$/,
  );
  const exported = listSubpaths().map(({ source }) => source);
  // What has no subpath of its own is shown by the main front door, or by the one of both adapters of Redis.
  const shownInFront = /\/(storage|brokers)\/(memory|redis)\/index\.ts$/;
  expect(doors.filter((path) => !exported.includes(path) && !shownInFront.test(path))).toEqual([]);
});

test("every export has a doc comment whose first sentence stands alone", () => {
  const all = [...exportsOf].flatMap(([source, list]) => list.map((one) => ({ source, ...one })));
  const bad = looked(all, "exports").filter(({ doc }) => !/^\S[^\n]*(\n[^\n]+)*?[.:](\s|$)/.test(doc));
  expect(bad.map(({ source, name }) => `${source}: ${name}`)).toEqual([]);
});

test("modules that do something when they are imported are marked, so that no bundler drops them", () => {
  const modules = listFiles(/^packages\/sagaz\/src\/.*(?<!\.test)\.ts$/);
  const polyfills = grep(modules, /Symbol\.for\("Symbol\.metadata"\)|^setDefaultStorage\(/);
  const paths = new Set(polyfills.map((line) => line.replace(/:\d+ .*/, "")));
  const { sideEffects } = readJson("packages/sagaz/package.json") as { sideEffects: string[] };
  expect(looked([...paths], "modules with side effects").map(toBuilt)).toEqual(sideEffects);
});
