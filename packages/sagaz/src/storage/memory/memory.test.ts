import { expect, test } from "vitest";
import { FakeClock, storageRules, toProvided, toTitle, unmetNeeds, withFaults } from "../../testing/index.ts";
import type { OpenStorage } from "../../testing/index.ts";
import { InMemoryStorage } from "./index.ts";

const provided = toProvided(new InMemoryStorage(), ["faults", "lostRows"]);

const open: OpenStorage = async () => {
  const clock = new FakeClock();
  const memory = new InMemoryStorage({ clock });
  const { storage, failNext } = withFaults(memory);
  return {
    storage,
    failNext,
    another: async () => memory,
    now: () => clock.now(),
    setNow: (ms) => clock.setNow(ms),
    begin: async () => memory.begin(),
    loseRows: async () => memory.loseRows(),
    close: () => memory.stop(),
  };
};

const met = storageRules.filter((rule) => unmetNeeds(rule, provided).length === 0);

test.each(met.map((rule) => [rule.name, rule] as const))("%s", (_, rule) => rule.check(open));

test("what memory cannot do is declared, and these rules are all that it leaves out", () => {
  const left = storageRules.filter((rule) => !met.includes(rule));
  expect(left.map((rule) => toTitle(rule, unmetNeeds(rule, provided)))).toMatchInlineSnapshot(`
    [
      "start: a storage that cannot join a transaction says so (skipped: needs no joinTransaction)",
      "transaction: the work's own writes and the batch commit together (skipped: needs transactionalSteps)",
      "transaction: work that throws leaves nothing, and its error comes through (skipped: needs transactionalSteps)",
      "transaction: a batch that is refused takes the work's own writes with it (skipped: needs transactionalSteps)",
      "inbox: the work's own writes and the row commit together (skipped: needs transactionalSteps)",
    ]
  `);
});
