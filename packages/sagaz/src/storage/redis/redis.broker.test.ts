import { Redis } from "ioredis";
import { afterAll, expect, inject, test } from "vitest";
import { FakeClock, storageRules, toProvided, toTitle, unmetNeeds, withFaults } from "../../testing/index.ts";
import type { OpenStorage } from "../../testing/index.ts";
import { RedisStorage } from "./index.ts";
import { loseRows, removeAll } from "../../../../../tests/engine/redis-keys.ts";

const server = inject("redis");
const client = "url" in server ? new Redis(server.url) : undefined;
const provided = toProvided(
  { can: { joinTransaction: false, transactionalSteps: false, participants: false } },
  ["faults", "lostRows"],
);
afterAll(() => client?.disconnect());

let opened = 0;

const toOpen = (redis: Redis): OpenStorage => {
  return async () => {
    const clock = new FakeClock();
    const name = `rules-${++opened}`;
    const storages: RedisStorage[] = [];
    const another = async () => {
      const storage = new RedisStorage({ client: redis, name, now: () => clock.now() });
      storages.push(storage);
      await storage.start();
      return storage;
    };
    const { storage, failNext } = withFaults(await another());
    return {
      storage,
      failNext,
      another,
      now: () => clock.now(),
      setNow: (ms) => clock.setNow(ms),
      loseRows: () => loseRows(redis, name),
      close: async () => {
        for (const one of storages) await one.stop();
        await removeAll(redis, name);
      },
    };
  };
};

const met = storageRules.filter((rule) => unmetNeeds(rule, provided).length === 0);

for (const rule of met) {
  test(rule.name, async ({ skip }) => {
    if (!client) skip("missing" in server ? server.missing : "");
    else await rule.check(toOpen(client));
  });
}

test("what Redis cannot do is declared, and these rules are all that it leaves out", () => {
  const left = storageRules.filter((rule) => !met.includes(rule));
  expect(left.map((rule) => toTitle(rule, unmetNeeds(rule, provided)))).toMatchInlineSnapshot(`
    [
      "start: inside the caller's transaction a saga exists from the commit on (skipped: needs joinTransaction)",
      "start: a rollback of the caller's transaction leaves nothing, and its key free (skipped: needs joinTransaction)",
      "start: inside the caller's transaction known keys are seen, also its own (skipped: needs joinTransaction)",
      "start: a key held by an open transaction is busy, its neighbours are not, and the commit decides (skipped: needs joinTransaction)",
      "transaction: the work's own writes and the batch commit together (skipped: needs transactionalSteps)",
      "transaction: work that throws leaves nothing, and its error comes through (skipped: needs transactionalSteps)",
      "transaction: a batch that is refused takes the work's own writes with it (skipped: needs transactionalSteps)",
      "outbox: events that are added in the caller's transaction exist if and only if it commits (skipped: needs joinTransaction)",
      "outbox: what commits late is taken, and before what was written after it in its key (skipped: needs joinTransaction)",
      "inbox: the work's own writes and the row commit together (skipped: needs transactionalSteps)",
      "inbox: in the caller's transaction a message is processed if and only if that commits (skipped: needs joinTransaction)",
      "participants: what is kept comes back, by participant and effect (skipped: needs participants)",
      "participants: what a transaction keeps that fails was never kept (skipped: needs participants)",
      "participants: who is second waits for the first, and sees what it kept (skipped: needs participants)",
      "participants: what nobody has asked about for 13 months is forgotten, and nothing before that (skipped: needs participants)",
    ]
  `);
});
