import { expect, test } from "vitest";
import { DEFAULTS, LIMITS } from "../../packages/sagaz/src/core/definition/policies.ts";
import { SAGA_OPTIONS, STEP_OPTIONS } from "../../packages/sagaz/src/core/definition/option-names.ts";
import { ERRORS } from "../../packages/sagaz/src/core/errors.ts";
import { listFiles, looked, read } from "../tidy/repository.ts";

/** What stands in the first column of a page's tables, in back-quotes. */
function firstColumn(page: string): string[] {
  return [...read(page).matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]!);
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}

test("the page on journal events names every event and every reason to park, and nothing else", () => {
  const source = read("packages/sagaz/src/core/saga/events.ts");
  const events = looked(matches(source, /\bOf(?:Step)?<"(\w+)"/g), "events");
  const parkReason = /export type ParkReason =([^;]+);/.exec(source)?.[1] ?? "";
  const reasons = looked(matches(parkReason, /"(\w+)"/g), "reasons to park");
  expect(firstColumn("docs/reference/journal-events.md").toSorted()).toEqual(
    [...events, ...reasons].toSorted(),
  );
  const advised = firstColumn("docs/how-to/handle-parked-sagas.md");
  expect(reasons.filter((reason) => !advised.includes(reason))).toEqual([]);
});

test("the page on the storage schema names every table, and nothing else", () => {
  const sql = looked(listFiles(/^packages\/sagaz\/src\/storage\/postgres\/.*\.sql$/), "SQL files").map(read);
  const tables = sql.flatMap((text) =>
    matches(text, /^create table (?:if not exists )?\{\{schema\}\}\.(\w+)/gm),
  );
  expect(firstColumn("docs/reference/storage-schema.md").toSorted()).toEqual(
    looked(tables, "tables").toSorted(),
  );
});

test("the page on options names every option of sagas and steps", () => {
  const page = read("docs/reference/options.md");
  const options = looked([...SAGA_OPTIONS, ...Object.values(STEP_OPTIONS).flat()], "options");
  expect(options.filter((option) => !page.includes(`\`${option}\``))).toEqual([]);
});

/** The names of an interface's own fields, but for those that only tests set. */
function fieldsOf(name: string, source: string): string[] {
  const body = new RegExp(`interface ${name}[^{]*\\{([\\s\\S]*?)^\\}`, "m").exec(read(source))?.[1] ?? "";
  const forUsers = body.replaceAll(/\/\*\* For tests:[\s\S]*?;$/gm, "");
  return [...looked(matches(forUsers, /^ {2}readonly (\w+)\??:/gm), `fields of ${name}`)];
}

test.each([
  ["OrchestratorOptions", "runtime/orchestrator.ts"],
  ["StartOptions", "runtime/start-options.ts"],
  ["PostgreSQLStorageOptions", "storage/postgres/index.ts"],
  ["EmbeddedPostgresOptions", "storage/embedded/embedded-postgres.ts"],
  ["RetryPolicy", "core/definition/policies.ts"],
])("the page on options names every field of %s", (name, source) => {
  const fields = fieldsOf(name, `packages/sagaz/src/${source}`);
  const page = read("docs/reference/options.md");
  expect(fields.filter((field) => !page.includes(`\`${field}\``))).toEqual([]);
});

test("the defaults and limits on the pages are those of the code", () => {
  const page = read("docs/reference/options.md");
  const row = (option: string) => new RegExp(`^\\| \`${option}\`.*$`, "m").exec(page)?.[0] ?? "";
  const written = (value: number) => value.toLocaleString("en-US");
  expect(row("graceMs")).toContain(written(DEFAULTS.graceMs));
  expect(row("settleMs")).toContain(written(DEFAULTS.settleMs));
  expect(row("timeoutMs")).toBeTruthy();
  expect(page).toContain(`| \`timeoutMs\`     | ${written(DEFAULTS.attemptTimeoutMs)}`);
  for (const policy of [DEFAULTS.retry, DEFAULTS.retriableRetry, DEFAULTS.undoRetry]) {
    expect(row("maxMs")).toContain(written(policy.maxMs));
    expect(row("initialMs")).toContain(written(policy.initialMs));
    expect(row("maxAttempts")).toContain(
      Number.isFinite(policy.maxAttempts) ? written(policy.maxAttempts) : "Infinity",
    );
  }
  expect(row("forMs")).toContain(written(DEFAULTS.retriableRetry.forMs));
  expect(page).toContain(`at most ${written(LIMITS.mapItemsMax)}`);
  expect(page).toContain(`at most ${written(LIMITS.stepsMax)} steps`);
});

test("the page on errors says which codes are retryable", () => {
  const sections = looked(read("docs/reference/errors.md").split(/^### /m).slice(1), "sections");
  const said = sections
    .filter((section) => section.includes("\n\nRetryable. "))
    .map((section) => section.split("\n")[0] ?? "");
  const retryable = Object.entries(ERRORS).flatMap(([code, error]) => (error.retryable ? [code] : []));
  expect(said.toSorted()).toEqual(retryable.toSorted());
});
