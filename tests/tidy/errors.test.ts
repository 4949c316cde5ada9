import { expect, test } from "vitest";
import { ERRORS } from "../../packages/sagaz/src/core/errors.ts";
import { listFiles, looked, read } from "./repository.ts";

const codes = looked(Object.keys(ERRORS), "error codes");
const page = read("docs/reference/errors.md");
const headings = looked(
  [...page.matchAll(/^#{2,4} `?(SAGAZ_[A-Z0-9_]+)`?\s*$/gm)].map((match) => match[1]!),
  "headings",
);

test("every error code has a heading in docs/reference/errors.md", () => {
  expect(codes.filter((code) => !headings.includes(code))).toEqual([]);
});

test("every heading there is an error code, once", () => {
  expect(headings.filter((code, index) => !codes.includes(code) || headings.indexOf(code) !== index)).toEqual(
    [],
  );
});

test("every heading is followed by what happened, why, and what to do", () => {
  const sections = page.split(/^#{2,4} /m).filter((section) => /^`?SAGAZ_/.test(section));
  const short = sections.filter((section) => section.replace(/^.*\n/, "").trim().length < 80);
  expect(short.map((section) => section.split("\n")[0])).toEqual([]);
});

test("every code can occur: some module of the library names it", () => {
  const modules = looked(
    listFiles(/^packages\/sagaz\/src\/.*(?<!\.(test|test-d))\.ts$/).filter(
      (path) => !path.endsWith("core/error-table.ts"),
    ),
    "modules",
  );
  const text = modules.map(read).join("\n");
  expect(codes.filter((code) => !new RegExp(`\\b${code}\\b`).test(text))).toEqual([]);
});
