import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { startEmbeddedPostgres } from "sagaz/embedded";

/** Examples run in an empty folder: the embedded PostgreSQL keeps its data below it. */
const folder = mkdtempSync(join(tmpdir(), "sagaz-examples-"));
chmodSync(folder, 0o755); // as root the server runs as another user, who has to get in
const examples = readdirSync(import.meta.dirname).filter(
  (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
);

const tsx = import.meta.resolve("tsx");

/** Runs a file as a user would, on the built library, and answers what it printed. */
async function run(file: string): Promise<{ output: string; status: number | null }> {
  const child = spawn(process.execPath, ["--import", tsx, resolve(import.meta.dirname, file)], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, NODE_ENV: undefined },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += String(text)));
  const status = await new Promise<number | null>((done) => child.on("close", done));
  return { output, status };
}

/** What a file says that it prints, in the comment at its end. */
function expectedOutput(file: string): string {
  const text = readFileSync(resolve(import.meta.dirname, file), "utf8");
  const [, expected] = /\/\* prints:\n([\s\S]*)\n\*\/\n$/.exec(text) ?? [];
  if (expected === undefined) throw new Error(`${file} does not end with a comment that says what it prints`);
  return expected;
}

afterAll(async () => {
  // The last user stops the server: also one that an example has left running because it failed.
  const server = await startEmbeddedPostgres({ dataDir: join(folder, ".sagaz/examples") });
  await server.stop();
  rmSync(folder, { recursive: true });
});

test("there are examples", () => {
  expect(examples.length).toBeGreaterThan(10);
});

test.concurrent.each(examples)("%s prints what it says, and ends by itself", async (file) => {
  const { output, status } = await run(file);
  expect(output.trimEnd()).toBe(expectedOutput(file));
  expect(status).toBe(0);
});
