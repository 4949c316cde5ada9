import { existsSync } from "node:fs";
import { spawn } from "node:child_process";
import path from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runSql } from "./postgres-databases.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { waitUntil } from "./wait-until.ts";

describe("a scratch PostgreSQL", () => {
  let server: TestPostgres;

  beforeAll(async () => {
    server = await startPostgres({ own: true, maxConnections: 17, settings: { work_mem: "3MB" } });
  });
  afterAll(() => server.stop());

  test("listens on 127.0.0.1 below the client ports with the settings asked for, and is durable", async () => {
    const [result] = await runSql(
      server.url,
      `SELECT current_setting('max_connections') AS connections, current_setting('work_mem') AS memory,
              current_setting('fsync') AS fsync, host(inet_server_addr()) AS address`,
    );
    expect(result?.rows).toEqual([{ connections: "17", memory: "3MB", fsync: "on", address: "127.0.0.1" }]);
    expect(server.port).toBeLessThan(32_768);
  });

  test("gives every test file a database of its own, copied from a template that is prepared once", async () => {
    let prepared = 0;
    const prepare = async (url: string) => {
      prepared += 1;
      await runSql(url, "CREATE TABLE seed (n int)", "INSERT INTO seed VALUES (1)");
    };
    const names = await Promise.all([1, 2, 3].map(() => server.createTemplate("seeded", prepare)));
    expect(new Set(names)).toEqual(new Set(["seeded"]));
    expect(prepared).toBe(1);

    const [first, second] = [
      await server.createDatabase({ template: "seeded" }),
      await server.createDatabase({ template: "seeded" }),
    ];
    await runSql(first.url, "INSERT INTO seed VALUES (2)");
    const [result] = await runSql(second.url, "SELECT n FROM seed");
    expect(result?.rows).toEqual([{ n: 1 }]);

    const open = new Client({ connectionString: first.url });
    const cut = new Promise((resolve) => open.on("error", resolve));
    await open.connect();
    await first.drop();
    await cut;
    await expect(runSql(first.url, "SELECT 1")).rejects.toThrow(/does not exist/);
    await second.drop();
  });

  test("keeps committed data over kill -9 and over a clean restart", async () => {
    const before = server.pid;
    await runSql(server.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)");
    await server.kill();
    await expect(runSql(server.url, "SELECT 1")).rejects.toThrow(/ECONNREFUSED/);
    await server.restart();
    expect(server.pid).not.toBe(before);
    expect(server.log()).toContain("database system was not properly shut down");
    await server.restart();
    const [result] = await runSql(server.url, "SELECT n FROM kept");
    expect(result?.rows).toEqual([{ n: 1 }]);
  });

  test("stands still while paused and goes on afterwards", async () => {
    const client = new Client({ connectionString: server.url });
    await client.connect();
    await server.pause();
    let answered = false;
    const answer = client.query("SELECT 1 AS one").then((result) => {
      answered = true;
      return result.rows;
    });
    // A frozen server still accepts into the kernel's queue but never speaks: that is the probe.
    await expect(connectWithin(server.url, 200)).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    await server.resume();
    expect(await answer).toEqual([{ one: 1 }]);
    await client.end();
  });
});

test("stop is safe twice and leaves neither process nor data", async () => {
  const server = await startPostgres({ own: true, fsync: false });
  const { dataDir, pid } = server;
  await server.stop();
  await server.stop();
  expect(existsSync(dataDir)).toBe(false);
  expect(isAlive(pid)).toBe(false);
});

test("the programs of the embedded npm package serve as well", async () => {
  const server = await startPostgres({ own: true, fsync: false, binDir: "embedded" });
  const [result] = await runSql(server.url, "SHOW server_version");
  expect(result?.rows).toEqual([{ server_version: expect.stringMatching(/^18\./) as string }]);
  await server.stop();
});

test("a server whose starter is kill -9ed is stopped and its data removed", async () => {
  const script = `
    import { startPostgres } from ${JSON.stringify(path.join(import.meta.dirname, "postgres.ts"))};
    const server = await startPostgres({ own: true, fsync: false });
    console.log(JSON.stringify({ pid: server.pid, dataDir: server.dataDir }));
    setInterval(() => {}, 1000);
  `;
  const starter = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = await new Promise<string>((resolve) => {
    let text = "";
    starter.stdout.on("data", (part: Buffer) => {
      text += part.toString();
      if (text.includes("\n")) resolve(text);
    });
  });
  const { pid, dataDir } = JSON.parse(line) as { pid: number; dataDir: string };
  expect(isAlive(pid)).toBe(true);
  starter.kill("SIGKILL");
  await waitUntil("the orphan is gone", () => !isAlive(pid) && !existsSync(dataDir));
});

test("the environment's server is used when it names one, and cannot be broken", async () => {
  const own = await startPostgres({ own: true, fsync: false });
  process.env["SAGAZ_TEST_POSTGRES_URL"] = own.url;
  try {
    const named = await startPostgres();
    expect(named.url).toBe(own.url);
    expect(named.isOwn).toBe(false);
    expect(() => named.kill()).toThrow(/not ours/);
    await named.stop();
    const database = await named.createDatabase();
    await runSql(database.url, "SELECT 1");
  } finally {
    delete process.env["SAGAZ_TEST_POSTGRES_URL"];
    await own.stop();
  }
});

async function connectWithin(url: string, connectionTimeoutMillis: number): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis });
  client.on("error", () => {});
  await client.connect();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
