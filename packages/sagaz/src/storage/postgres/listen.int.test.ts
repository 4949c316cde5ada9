import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { append, begin, openRoom, register, toEntry } from "../../../../../tests/storage/postgres-room.ts";
import { startFaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { findPgBouncer, startPgBouncer } from "../../../../../tools/servers/pgbouncer.ts";
import { createDatabase } from "../../../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import type { Hint, SagaStorage } from "../../ports/storage.ts";
import { PostgreSQLStorage } from "./index.ts";
import { claimIds, released, toMail, toStart } from "../../testing/conformance/storage/material.ts";

async function newDatabase(name: string): Promise<string> {
  return (await createDatabase(inject("postgresUrl"), { name })).url;
}

/** Hints as they come, and how to wait for one that comes after now. */
function hear(storage: SagaStorage) {
  const heard: Hint[] = [];
  onTestFinished(storage.listen((hint) => heard.push(hint)));
  return {
    heard,
    async next(hint: Hint) {
      const from = heard.length;
      return () => waitUntil(`a hint of ${hint} comes`, () => heard.slice(from).includes(hint));
    },
  };
}

test("what one process leaves for others reaches them as a hint, not by polling", async () => {
  const url = await newDatabase("hints");
  const [here, there] = [await openRoom({ url }), await openRoom({ url })];
  onTestFinished(async () => {
    await here.close();
    await there.close();
  });
  const ears = hear(there.storage);
  await waitUntil("it listens", () => ears.heard.includes("ended"));
  const [one, two] = [await register(here.storage), await register(there.storage)];

  let hint = await ears.next("work");
  const waiting = await begin(here.t, one, { start: toStart(here.t, { owned: false }) });
  await hint();
  expect(await claimIds(there.storage, two)).toEqual([waiting]);

  hint = await ears.next("mail");
  await here.storage.mailbox.send(toMail(waiting));
  await hint();
  expect((await there.storage.mailbox.fetch(two, 9)).length).toBe(1);

  hint = await ears.next("work");
  await begin(here.t, one);
  await here.storage.leases.retire(one);
  await hint();
});

test("that sagas end is told while somebody waits for one, and only then", async () => {
  const url = await newDatabase("ends");
  const [runner, waiter] = [await openRoom({ url }), await openRoom({ url })];
  onTestFinished(async () => {
    await runner.close();
    await waiter.close();
  });
  const [ears, runnersEars] = [hear(waiter.storage), hear(runner.storage)];
  await waitUntil("both listen", () => ears.heard.length > 0 && runnersEars.heard.length > 0);
  const epoch = await register(runner.storage);
  const end = async () => {
    const sagaId = await begin(runner.t, epoch);
    const row = released(null, { status: "completed", finished: true });
    await append({ storage: runner.storage, epoch }, toEntry(sagaId, 2, { row }));
    return sagaId;
  };
  await end();
  // A later hint of another kind has come through: so one of the end would have come too.
  const work = await ears.next("work");
  const before = ears.heard.length;
  await begin(runner.t, epoch, { start: toStart(runner.t, { owned: false }) });
  await work();
  expect(ears.heard.slice(before)).not.toContain("ended");

  const running = await begin(runner.t, epoch);
  expect(await waiter.storage.queries.ended([running])).toEqual([]);
  // That it is asked for takes a moment to get there: ends are told from then on.
  await waitUntil("an end is told", async () => {
    await end();
    return ears.heard.slice(before).includes("ended");
  });
});

test("a listener whose connection breaks comes back, and counts on having missed something", async () => {
  const url = await newDatabase("relisten");
  const proxy = await startFaultProxy(url);
  const room = await openRoom({ url: proxy.through(url), directUrl: url });
  onTestFinished(async () => {
    await room.close();
    await proxy.stop();
  });
  const ears = hear(room.storage);
  await waitUntil("it listens", () => ears.heard.includes("ended"));
  const again = await ears.next("ended");
  proxy.reset();
  await again();
});

test("a pool without a connection to spare polls, and says so", async () => {
  const room = await openRoom({ url: await newDatabase("small") }, { max: 5 });
  onTestFinished(room.close);
  onTestFinished(room.storage.listen(() => {}));
  expect(room.notices).toEqual(["the pool has 5 connections; with 6 sagaz could LISTEN, now it polls"]);
});

test("what hears of it may throw: its trouble is its own", async () => {
  const pool = new pg.Pool({ connectionString: await newDatabase("thrown"), max: 5 });
  const notices: string[] = [];
  const onNotice = (notice: string) => {
    notices.push(notice);
    throw new Error("the listener's own");
  };
  const storage = new PostgreSQLStorage({ pool, onNotice });
  onTestFinished(async () => {
    await storage.stop();
    await pool.end();
  });
  onTestFinished(storage.listen(() => {}));
  await storage.start();
  expect(notices).toHaveLength(1);
});

test("behind a pooler in transaction mode everything works, and LISTEN is found to be silent", async ({
  skip,
}) => {
  const found = await findPgBouncer();
  if ("missing" in found) return skip(found.missing);
  const url = await newDatabase("pooled");
  // Fewer server connections than we hold client connections: each transaction gets another one.
  const pooler = await startPgBouncer(found.program, url, { poolSize: 2 });
  const room = await openRoom({ url: pooler.url, directUrl: url });
  onTestFinished(async () => {
    await room.close();
    await pooler.stop();
  });
  const ears = hear(room.storage);
  await waitUntil("the self-test is over", () => room.notices.length > 0);
  expect(room.notices[0]).toMatch(/^LISTEN is silent/);

  const epoch = await register(room.storage);
  const sagas = await Promise.all(Array.from({ length: 20 }, () => begin(room.t, epoch)));
  await Promise.all(sagas.map((sagaId) => append({ storage: room.storage, epoch }, toEntry(sagaId, 2))));
  await room.sql("create table notes (note text)");
  await Promise.all(
    sagas.slice(0, 6).map((sagaId) =>
      room.storage.journal.transaction(async (tx, appendIn) => {
        await tx("insert into notes values ($1)", [sagaId]);
        await appendIn({ epoch, entries: [toEntry(sagaId, 3, { row: released(Date.now()) })] });
      }),
    ),
  );
  expect((await room.sql("select * from notes")).length).toBe(6);
  expect((await claimIds(room.storage, epoch)).length).toBe(6);
  expect((await room.storage.leases.beat(epoch)).alive).toBe(true);
  await room.storage.upkeep.maintain();
  // Hints of its own process need no LISTEN.
  const work = await ears.next("work");
  await begin(room.t, epoch, { start: toStart(room.t, { owned: false }) });
  await work();
});
