import { expect, inject, test } from "vitest";
import { audit, nothingBroken } from "./ledger.ts";
import { Town } from "./town.ts";

test("a worker that was frozen beyond its lease calls on, and nothing that it writes is recorded", async () => {
  await using town = await Town.open(inject("postgresUrl"));
  const zombie = await town.worker({ name: "zombie" }).ready();
  await town.place(44, (n) => (n % 22 === 0 ? "in confirm" : n % 2 === 0 ? "in charge" : "in charge, deaf"));
  await town.until("every order waits in it", async () => (await town.waiting("zombie")) >= 44);
  const placing = town.place(60);
  await town.until("some of the others have ended", async () => (await town.ended()) > 10);

  zombie.freeze();
  await town.until("the database has dealt with all that it sent", () => isQuiet(town, "zombie"));
  await town.sql(
    "create table shop.journal_then as select saga_id, max(seq) as seq from sagaz.saga_events group by 1",
  );
  await town.sql("create table shop.unheard_then as select id from shop.runs where not is_heard");
  // Its lease is long: whatever this machine has to do meanwhile, nobody takes its sagas back from the heir.
  await town.worker({ name: "heir", leaseMs: 60_000 }).ready();
  await placing;
  await town.until("the heir has all that is open", async () => (await town.waiting("heir")) >= 44);

  zombie.thaw();
  await town.openGate(); // both now do what waits, the zombie's deaf attempts too
  await town.allEnd();
  await town.until("the zombie is back under a new epoch", async () => (await alive(town, "zombie")) > 0);
  await town.until("its deaf attempts have called", async () => (await calledLate(town)) > 0);
  expect(await zombie.stop()).toBe(0);

  const findings = await audit(town, { zombies: ["zombie"] });
  expect(findings).toEqual(nothingBroken(findings));
  expect(town.placed).toHaveLength(104);
  // What it did it tells the heir by mail, once its write was refused; if the heir has no result of its own yet, it takes that.
  const recorded = await town.sql(
    `select e.saga_id, e.step from sagaz.saga_events e join sagaz.saga_executions x using (saga_id)
         left join shop.journal_then j using (saga_id)
       where e.seq > coalesce(j.seq, 0) and e.type = 'step_done' and e.data::json -> 'result' ->> 'by' like 'zombie%'
         and x.mail_seq = 0`,
  );
  expect(recorded).toEqual([]);
  expect(await recordedBy(town, "heir")).toBeGreaterThan(44);
});

function isQuiet(town: Town, worker: string): Promise<boolean> {
  return town
    .count(
      "select count(*) from pg_stat_activity where datname = current_database() and application_name like $1 and state = 'active'",
      [`${worker} %`],
    )
    .then((active) => active === 0);
}

function alive(town: Town, worker: string): Promise<number> {
  return town.count("select count(*) from sagaz.saga_workers where worker_name = $1 and fenced_at is null", [
    worker,
  ]);
}

/** Attempts that had begun before it was frozen, and called their participant after that. */
function calledLate(town: Town): Promise<number> {
  return town.count(
    "select count(*) from shop.runs join shop.unheard_then using (id) where worker = 'zombie' and step = 'charge' and is_heard",
  );
}

function recordedBy(town: Town, worker: string): Promise<number> {
  return town.count(
    "select count(*) from sagaz.saga_events where type = 'step_done' and data::json -> 'result' ->> 'by' = $1",
    [worker],
  );
}
