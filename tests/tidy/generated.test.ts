import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listFiles, looked, root } from "./repository.ts";

test("the generated SQL modules are what tools/embed-sql.ts makes of the SQL files", () => {
  looked(listFiles(/\.sql$/), "SQL files");
  looked(listFiles(/\.generated\.ts$/), "generated modules");
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", join(root, "tools/embed-sql.ts"), "--check"],
    { cwd: root, encoding: "utf8" },
  );
  expect(status, stdout + stderr).toBe(0);
});
