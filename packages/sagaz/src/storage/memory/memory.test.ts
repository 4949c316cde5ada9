import { test } from "vitest";
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

for (const rule of storageRules) {
  const unmet = unmetNeeds(rule, provided);
  test.skipIf(unmet.length > 0)(toTitle(rule, unmet), () => rule.check(open));
}
