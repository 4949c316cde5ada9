import { basename } from "node:path";
import { expect, test } from "vitest";
import { grep, listEntries, listFiles, looked } from "./repository.ts";

const sayNothing = /^(common|shared|utils?|lib|models|types|helpers|managers|misc)$/;
const kebabCase = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/;
const fixedByCustom = /^([A-Z]+\.md|LICENSE)$/;
const migration = /\/migrations\/\d{3}_[a-z0-9_]+\.sql$/;

test("no file or folder has a name that says nothing", () => {
  const entries = looked(listEntries(), "files and folders");
  expect(entries.filter((path) => sayNothing.test(basename(path).split(".")[0]!))).toEqual([]);
});

test("files and folders are named in kebab-case", () => {
  const entries = looked(listEntries(), "files and folders");
  const odd = entries.filter((path) => {
    const name = basename(path);
    return !kebabCase.test(name) && !fixedByCustom.test(name) && !migration.test(path);
  });
  expect(odd).toEqual([]);
});

test("names carry no prefix I and no suffix Impl, Base, Manager or Service", () => {
  const sources = looked(listFiles(/\.ts$/), "TypeScript files");
  expect(
    grep(sources, /\b(class|interface|type)\s+(I[A-Z][a-z]\w*|\w+(Impl|Base|Manager|Service))\b\s*[<={]/),
  ).toEqual([]);
});

test("nothing is a default export, except where a tool demands it", () => {
  const sources = looked(listFiles(/(?<!\.config)\.(ts|mjs|js)$/), "modules");
  expect(grep(sources, /^export default\b|\bas default\b/)).toEqual([]);
});
