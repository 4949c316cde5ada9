import { ClassicSaga } from "sagaz";
import { expect, inject, test } from "vitest";
import { audit, nothingBroken } from "./ledger.ts";
import { Town } from "./town.ts";

test("a step that kills its process each time is parked as crash_loop; the sagas beside it end", async () => {
  const deadly = new ClassicSaga({ name: "deadly" }).addStep("boom", () => 1);
  await using town = await Town.open(inject("postgresUrl"), [deadly]);
  const victim = await town.office.sagas.start(deadly, null);
  await town.place(4);
  const parked = victim.result({ orParked: true }).then(() => "parked" as const);
  let deaths = 0;
  const nextDeath = async () => {
    await town.worker({ name: `w${deaths}`, leaseMs: 500 }).died();
    return "died" as const;
  };
  while ((await Promise.race([nextDeath(), parked])) === "died") expect(++deaths).toBeLessThan(12);
  expect(deaths).toBeGreaterThan(1);
  expect(await town.office.sagas.get(victim.id)).toMatchObject({
    status: "parked",
    parked: { reason: "crash_loop" },
  });
  await town.allEnd();
  const findings = await audit(town);
  expect(findings).toEqual(nothingBroken(findings));
});
