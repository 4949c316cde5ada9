import { describe, expect, test } from "vitest";
import { InMemoryStorage } from "../../../storage/memory/index.ts";
import { storageRules } from "./storage-rules.ts";
import { throws, toEntry } from "./material.ts";
import { toTitle, unmetNeeds } from "../rule.ts";
import { given } from "../given.ts";
import { rule, toProvided } from "./storage-rule.ts";
import type { OpenStorage } from "./storage-rule.ts";

const storage = new InMemoryStorage();

async function nothing(): Promise<readonly never[]> {
  return [];
}

function opened(): { open: OpenStorage; closed: () => number } {
  let closed = 0;
  const open: OpenStorage = async () => ({
    storage,
    another: async () => storage,
    now: () => 0,
    setNow: () => {},
    close: async () => void closed++,
  });
  return { open, closed: () => closed };
}

describe("a rule", () => {
  test("closes what it opened, kept or broken", async () => {
    const { open, closed } = opened();
    await rule("kept", async () => {}).check(open);
    await expect(rule("broken", () => Promise.reject(new Error("broken"))).check(open)).rejects.toThrow(
      "broken",
    );
    expect(closed()).toBe(2);
  });

  test("that needs more than is provided says so in its title", () => {
    const needy = rule("needy", async () => {}, ["faults", "joinTransaction"]);
    const provided = toProvided(
      { can: { joinTransaction: true, transactionalSteps: false, participants: true } },
      ["lostRows"],
    );
    expect(provided).toEqual(["joinTransaction", "no transactionalSteps", "participants", "lostRows"]);
    const unmet = unmetNeeds(needy, provided);
    expect(unmet).toEqual(["faults"]);
    expect(toTitle(needy, unmet)).toBe("needy (skipped: needs faults)");
    expect(toTitle(needy, [])).toBe("needy");
    expect(
      toProvided({ can: { joinTransaction: false, transactionalSteps: true, participants: false } }, []),
    ).toEqual(["no joinTransaction", "transactionalSteps", "no participants"]);
  });

  test("whose need was promised and is not there fails", () => {
    expect(() => given(undefined)).toThrow("the handle lacks");
    expect(given("here")).toBe("here");
  });
});

describe("the rules", () => {
  test("have names of their own", () => {
    const names = storageRules.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(100);
  });

  test("fail on a storage that does nothing", async () => {
    const dead = {
      journal: {
        append: async () => ({ at: 0 }),
        tails: nothing,
        startKeyed: nothing,
        startIn: nothing,
        transaction: nothing,
      },
      leases: {
        register: async () => ({ epoch: 1, now: 0 }),
        beat: nothing,
        fenceExpired: async () => 0,
        claim: nothing,
        forgotten: nothing,
        retire: nothing,
      },
      mailbox: { send: nothing, fetch: nothing, refuse: nothing, outcome: async () => ({ kind: "done" }) },
      queries: {
        find: async () => undefined,
        journal: nothing,
        list: async () => ({ sagas: [], next: undefined }),
        ended: nothing,
        counts: nothing,
        journalled: nothing,
      },
      upkeep: { maintain: nothing, claimOrphans: nothing, writeProjections: nothing },
      listen: () => () => {},
      start: nothing,
      stop: nothing,
    } as unknown as InMemoryStorage;
    const open: OpenStorage = async () => ({
      storage: dead,
      another: async () => dead,
      now: () => 1_000_000,
      setNow: () => {},
      close: async () => {},
      failNext: () => {},
      begin: async () => ({ tx: nothing, commit: async () => {}, rollback: async () => {} }),
      notes: { write: async () => {}, read: async () => ["nothing was written"] },
      loseRows: async () => {},
    });
    const kept: string[] = [];
    for (const { name, check } of storageRules) {
      await check(open).then(
        () => kept.push(name),
        () => {},
      );
    }
    expect(kept).toEqual([]);
  });
});

describe("throws", () => {
  test("passes on the wrong error, and fails when there is none", async () => {
    await expect(throws("SAGAZ_FENCED", () => Promise.reject(new Error("other")))).rejects.toThrow("other");
    await expect(throws("SAGAZ_FENCED", async () => toEntry("x", 1).firstSeq)).rejects.toThrow(
      "but the call answered 1",
    );
    const sent = { mailId: "m", sagaId: "nonsense", kind: "k", body: "{}" };
    await throws("SAGAZ_INVALID_ID", () => storage.mailbox.send(sent));
  });
});
