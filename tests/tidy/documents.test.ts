import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { listEntries, listFiles, looked, read, readJson } from "./repository.ts";

const pages = looked(
  listFiles(/\.md$/).filter((path) => !path.startsWith("packages/sagaz/api/")),
  "pages",
);
const entries = new Set(listEntries().map((path) => path.replace(/\/$/, "")));

/** As GitHub makes the anchor of a heading. */
function toAnchor(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[\s\S]*?^```/gm, "").replaceAll(/`[^`\n]*`/g, "");
}

function listAnchors(path: string): string[] {
  const text = read(path).replaceAll(/^```[\s\S]*?^```/gm, "");
  return [...text.matchAll(/^#{1,6} (.+)$/gm)].map((match) => toAnchor(match[1]!));
}

function isBroken(page: string, link: string): boolean {
  const [target = "", anchor] = link.split("#");
  const path = target === "" ? page : join(dirname(page), decodeURI(target)).replace(/\/$/, "");
  if (!entries.has(path) && path !== ".") return true;
  return anchor !== undefined && path.endsWith(".md") && !listAnchors(path).includes(anchor);
}

test("every link between pages leads somewhere", () => {
  const links = pages.flatMap((page) =>
    [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({ page, link: match[1]! })),
  );
  const inside = looked(
    links.filter(({ link }) => !/^[a-z]+:/.test(link)),
    "links",
  );
  expect(inside.filter(({ page, link }) => isBroken(page, link))).toEqual([]);
});

test("every npm script that a page names exists", () => {
  const { scripts } = readJson("package.json") as { scripts: Record<string, string> };
  const named = pages.flatMap((page) =>
    [...read(page).matchAll(/(?:^|`|&& |\$ )npm (?:run )?(?!run\b)([a-z][a-z:-]*)/gm)].map((match) => ({
      page,
      script: match[1]!,
    })),
  );
  const own = looked(
    named.filter(
      ({ script }) =>
        !["ci", "install", "i", "packages", "package", "pack", "publish", "ls"].includes(script),
    ),
    "named scripts",
  );
  expect(own.filter(({ script }) => !(script in scripts))).toEqual([]);
});

test("every file that a script runs exists", () => {
  const { scripts } = readJson("package.json") as { scripts: Record<string, string> };
  const files = Object.entries(scripts).flatMap(([script, command]) =>
    [...command.matchAll(/\S+\.(?:ts|mjs)\b/g)].map(([file]) => ({ script, file })),
  );
  expect(looked(files, "files run by scripts").filter(({ file }) => !existsSync(file))).toEqual([]);
});

test("what is published has a page of its own and the licence", () => {
  const published = looked(
    listFiles(/^(packages|apps)\/[^/]+\/package\.json$/).filter(
      (path) => (readJson(path) as { private?: boolean }).private !== true,
    ),
    "packages",
  );
  for (const folder of published.map(dirname)) {
    expect(entries, folder).toContain(`${folder}/README.md`);
    expect(read(`${folder}/LICENSE`), folder).toBe(read("LICENSE"));
  }
});
