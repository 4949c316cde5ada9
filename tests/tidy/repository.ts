import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** The folder of the repository. */
export const root = resolve(import.meta.dirname, "../..");

/** The text of a file of the repository. */
export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** A JSON file of the repository. */
export function readJson(path: string): unknown {
  return JSON.parse(read(path)) as unknown;
}

function listIgnoredNames(): Set<string> {
  const names = read(".gitignore")
    .split("\n")
    .filter((line) => line.endsWith("/"))
    .map((line) => line.slice(0, -1));
  return new Set([".git", ...names]);
}

/** Every file and folder (these end in `/`) that git would keep, as a path from the root. Needs no git, so an unpacked archive is checked too. */
export function listEntries(): string[] {
  const ignored = listIgnoredNames();
  const entries: string[] = [];
  function walk(folder: string): void {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      if (ignored.has(entry.name) || entry.name.endsWith(".tsbuildinfo")) continue;
      const path = folder + entry.name;
      if (entry.isDirectory()) {
        entries.push(`${path}/`);
        walk(`${path}/`);
      } else entries.push(path);
    }
  }
  walk("");
  return entries;
}

/** The files whose path matches. */
export function listFiles(pattern: RegExp): string[] {
  return listEntries().filter((path) => !path.endsWith("/") && pattern.test(path));
}

/**
 * Says how much a check looked at.
 *
 * @throws Error when that is nothing: a check that could pass by looking at nothing is none.
 */
export function looked<T>(things: readonly T[], what: string): readonly T[] {
  if (things.length === 0) throw new Error(`looked at no ${what} at all`);
  console.log(`looked at ${things.length} ${what}`);
  return things;
}

/** One line for each match of a pattern in the given files, as `path:line  text`. */
export function grep(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}  ${line.trim()}`] : [])),
  );
}

/** The subpaths that users import, each with the source of its front door, out of the exports map of the library. */
export function listSubpaths(): { subpath: string; built: string; source: string }[] {
  const { exports = {} } = readJson("packages/sagaz/package.json") as {
    exports?: Record<string, { default: string }>;
  };
  return Object.entries(exports)
    .filter(([subpath]) => subpath !== "./package.json")
    .map(([subpath, target]) => ({
      subpath,
      built: join("packages/sagaz", target.default),
      source: join("packages/sagaz", target.default.replace("dist/", "src/").replace(/\.js$/, ".ts")),
    }));
}
