import { expect, inject, test } from "vitest";
import { audit, nothingBroken } from "./ledger.ts";
import { Town } from "./town.ts";

test("of three workers one is killed and one is stopped in the middle; with two new ones all sagas end", async () => {
  await using town = await Town.open(inject("postgresUrl"));
  const names = ["w1", "w2", "w3"];
  // None has room for all that waits, so each has some of it.
  const workers = names.map((name) => town.worker({ name, sagasInFlightMax: 50 }));
  await Promise.all(workers.map((worker) => worker.ready()));
  await town.place(120, (n) => (n % 30 === 0 ? "in confirm" : "in charge"));
  await town.until("every order waits in some worker", async () => {
    const waiting = await Promise.all(names.map((name) => town.waiting(name)));
    return waiting.reduce((sum, n) => sum + n) >= 120 && waiting.every((n) => n > 0);
  });
  const placing = town.place(130);
  await town.until("some of the others have ended", async () => (await town.ended()) > 20);

  await workers[0]!.kill();
  const [status] = await Promise.all([
    workers[1]!.stop(),
    ...["w4", "w5"].map((name) => town.worker({ name }).ready()),
  ]);
  expect(status).toBe(0);
  await placing;
  await town.openGate();
  await town.allEnd();

  const findings = await audit(town);
  expect(findings).toEqual(nothingBroken(findings));
  expect(town.placed).toHaveLength(250);
  // What the dead one had was taken over, what the stopped one had was handed over.
  const gone = await town.sql<{ worker_name: string; retired: boolean }>(
    `select distinct on (worker_name) worker_name, retired from sagaz.saga_workers
       where fenced_at is not null and worker_name in ('w1', 'w2') order by worker_name, epoch desc`,
  );
  expect(gone).toEqual([
    { worker_name: "w1", retired: false },
    { worker_name: "w2", retired: true },
  ]);
});
