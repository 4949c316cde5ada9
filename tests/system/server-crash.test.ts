import { expect, onTestFinished, test } from "vitest";
import { startPostgres } from "../../tools/servers/postgres.ts";
import { audit, nothingBroken } from "./ledger.ts";
import { Town } from "./town.ts";

test("PostgreSQL is killed twice with sagas in flight: nothing that was committed is lost or done again", async () => {
  const server = await startPostgres({ own: true });
  onTestFinished(() => server.stop());
  await using town = await Town.open(server.url);
  await Promise.all(["w1", "w2"].map((name) => town.worker({ name, leaseMs: 2_000 }).ready()));

  // It dies while commits are under way, new sagas among them.
  const placing = town.place(120);
  await town.until("some have ended", async () => (await town.ended()) > 10, 1);
  await server.kill();
  await server.restart();
  await placing;

  // And it dies while attempts are under way.
  await town.place(50, (n) => (n % 25 === 0 ? "in confirm" : "in charge"));
  await town.until("every one of them waits", async () => (await town.waiting()) >= 50);
  await server.kill();
  await server.restart();
  await town.openGate();
  await town.allEnd();

  const findings = await audit(town);
  expect(findings).toEqual(nothingBroken(findings));
  expect(town.placed).toHaveLength(170);
  expect(town.deadWorkers()).toEqual([]);
});
