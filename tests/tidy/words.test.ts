import { expect, test } from "vitest";
import { grep, listFiles, looked } from "./repository.ts";

const thisFile = "tests/tidy/words.test.ts";
const text = looked(
  listFiles(/(\.(ts|mjs|js|json|md|sql|yml|yaml|sh)|\/run)$/).filter((path) => path !== thisFile),
  "text files",
);
const testFiles = looked(
  text.filter((path) => path.endsWith(".test.ts")),
  "test files",
);

test("no file names a folder of somebody's machine", () => {
  expect(grep(text, /(?<![\w.~*/-])\/(work|root|home\/\w+|Users\/\w+)\//)).toEqual([]);
});

test("no document names a scratch folder", () => {
  expect(
    grep(
      text.filter((path) => path.endsWith(".md")),
      /(?<![\w.])\/tmp\//,
    ),
  ).toEqual([]);
});

test("no file names the host of a package registry", () => {
  expect(grep(text, /registry\.(npmjs|yarnpkg)\.|npm\.pkg\.github|_authToken|"resolved": "https?:/)).toEqual(
    [],
  );
});

test("nothing is left for later", () => {
  expect(grep(text, /\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
});

test("no check is switched off in place", () => {
  expect(
    grep(text, /@ts-ignore|@ts-nocheck|(eslint|oxlint)-disable|prettier-ignore|\/\* (v8|c8|istanbul) ignore/),
  ).toEqual([]);
});

test("tests can fail: none is focused, empty, repeated until green, or asleep", () => {
  expect(
    grep(testFiles, /\.only\(|expect\(true\)|\bretry: [1-9]|timers\/promises|\bawait (sleep|delay)\(/),
  ).toEqual([]);
});
