import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { connect } from "./connection.ts";
import { Lane } from "./lane.ts";

const limits = { connectTimeoutMs: 2_000, writeTimeoutMs: 2_000 };

test("a lane sends one statement at a time, in order, and the next also when one was refused or its connection is lost", async () => {
  const pool = new pg.Pool({ connectionString: inject("postgresUrl"), max: 1 });
  onTestFinished(() => pool.end());
  let asked = 0;
  let under = 0;
  let most = 0;
  pool.on("connect", (client) => {
    const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
    client.query = (async (...given: unknown[]) => {
      asked += 1;
      most = Math.max(most, ++under);
      return query(...given).finally(() => (under -= 1));
    }) as typeof client.query;
  });
  const lane = new Lane(() => connect(pool, limits));
  onTestFinished(() => lane.close());
  const run = (text: string) => lane.run({ text }, { commits: false });
  const answers = await Promise.allSettled([
    run("select 1 as n from pg_sleep(0.02)"),
    run("select 1 / 0 as n"),
    run("select 2 as n"),
    run("select pg_terminate_backend(pg_backend_pid())"),
    run("select 3 as n"),
  ]);
  expect(
    answers.map((answer) => (answer.status === "fulfilled" ? answer.value[0]?.["n"] : "refused")),
  ).toEqual(["1", "refused", "2", "refused", "3"]);
  expect([asked, most]).toEqual([5, 1]);
  expect(lane.isBusy).toBe(false);
});
