import { expect, onTestFinished, test } from "vitest";
import { startPostgres } from "../../tools/servers/postgres.ts";
import { audit, nothingBroken } from "./ledger.ts";
import { Town } from "./town.ts";

test("PostgreSQL is killed twice with sagas in flight: nothing that was committed is lost or done again", async () => {
  const server = await startPostgres({ own: true });
  onTestFinished(() => server.stop());
  await using town = await Town.open(server.url);
  const workers = ["w1", "w2"].map((name) => town.worker({ name, leaseMs: 5_000, sagasInFlightMax: 40 }));
  await Promise.all(workers.map((worker) => worker.ready()));
  await town.place(50, (n) => (n % 25 === 0 ? "in confirm" : "in charge"));
  await town.until(
    "every order waits in some worker",
    async () => (await town.waitingIn("w1")) + (await town.waitingIn("w2")) >= 50,
  );

  for (const enough of [5, 60]) {
    const placing = town.place(60);
    // The server dies while its commits are under way, new sagas among them.
    await town.until("some of the others have ended", async () => (await town.ended()) > enough, 1);
    await server.kill();
    await server.restart();
    await placing;
  }
  await town.openGate();
  await town.allEnd();

  const findings = await audit(town);
  expect(findings).toEqual(nothingBroken(findings));
  expect(town.placed).toHaveLength(170);
  expect(workers.map(({ isRunning }) => isRunning)).toEqual([true, true]);
});
