import fc from "fast-check";
import { expect, test } from "vitest";
import { FakeClock } from "../../testing/index.ts";
import {
  append,
  LEASE_MS,
  ORDER,
  codeOf,
  released,
  toEntry,
  toMail,
  toRow,
  toStart,
  toStartEntry,
} from "../../testing/conformance/storage/material.ts";
import type { StorageUnderTest } from "../../testing/index.ts";
import { InMemoryStorage } from "./index.ts";

/** What the storage should say, kept without any index: every question looks at everything. */
interface ModelSaga {
  sagaId: string;
  tenantId: string | null;
  seq: number;
  owner: number | undefined;
  wakeAt: number | null;
  adoptions: number;
  ended: boolean;
  mailSeq: number;
  unread: string[];
}

class Model {
  readonly clock = new FakeClock();
  readonly storage = new InMemoryStorage({ clock: this.clock });
  readonly workers: { epoch: number; heartbeatAt: number; alive: boolean }[] = [];
  readonly sagas: ModelSaga[] = [];
  /** How often something worth checking happened: a history of refusals would prove nothing. */
  readonly seen = { written: 0, refused: 0, claimed: 0, passed: 0, adopted: 0, mailed: 0, slept: 0 };
  readonly t: StorageUnderTest = {
    storage: this.storage,
    another: async () => this.storage,
    now: () => this.clock.now(),
    setNow: (ms) => this.clock.setNow(ms),
    close: () => this.storage.stop(),
  };

  due(): ModelSaga[] {
    return this.sagas
      .filter(({ owner, wakeAt }) => owner === undefined && wakeAt !== null && wakeAt <= this.clock.now())
      .sort((a, b) => a.wakeAt! - b.wakeAt! || (a.sagaId < b.sagaId ? -1 : 1));
  }

  letGo(epoch: number, adopted: number): number {
    const owned = this.sagas.filter(({ owner }) => owner === epoch);
    for (const saga of owned)
      Object.assign(saga, {
        owner: undefined,
        wakeAt: this.clock.now(),
        adoptions: saga.adoptions + adopted,
      });
    return owned.length;
  }

  /** Compares everything that can be asked. */
  async check(): Promise<void> {
    const now = this.clock.now();
    const tails = await this.storage.journal.tails(this.sagas.map(({ sagaId }) => sagaId));
    expect(tails).toEqual(
      this.sagas.map(({ sagaId, seq, owner }) => ({ sagaId, seq, owner: owner ?? null })),
    );
    for (const saga of this.sagas) {
      const row = await this.storage.queries.find(saga.sagaId);
      expect(row).toMatchObject({
        wakeAt: saga.owner === undefined ? saga.wakeAt : null,
        adoptions: saga.adoptions,
        status: saga.ended ? "completed" : expect.stringMatching(/pending|running/),
      });
    }
    const counts = await this.storage.queries.counts(1_000_000_000);
    const total = (ended: boolean) =>
      counts
        .filter(({ status }) => (status === "completed") === ended)
        .reduce((sum, one) => sum + one.count, 0);
    expect([total(true), total(false)]).toEqual([
      this.sagas.filter(({ ended }) => ended).length,
      this.sagas.filter(({ ended }) => !ended).length,
    ]);
    for (const worker of this.workers) {
      const mine = this.sagas.filter(({ owner }) => owner === worker.epoch);
      const mail = await this.storage.mailbox.fetch(worker.epoch, 1_000);
      expect(mail.map(({ mailId }) => mailId).sort()).toEqual(mine.flatMap(({ unread }) => unread).sort());
    }
    const beating = this.workers.find(({ alive }) => alive);
    if (!beating) return;
    const answer = await this.storage.leases.beat(beating.epoch);
    beating.heartbeatAt = now;
    expect(answer).toEqual({
      now,
      alive: true,
      work: this.due().length > 0,
      mail: this.sagas.some(({ owner, unread }) => owner === beating.epoch && unread.length > 0),
      upkeep: this.workers.some(({ alive, heartbeatAt }) => alive && now > heartbeatAt + LEASE_MS),
    });
  }
}

type Step = (model: Model) => Promise<void>;

const at = <Item>(items: readonly Item[], n: number): Item | undefined =>
  items[n % Math.max(1, items.length)];
const number = fc.nat(30);
const tenant = fc.constantFrom(null, "a", "b", "c");
const tenantRoom = fc.record({
  each: fc.integer({ min: 1, max: 2 }),
  left: fc.dictionary(fc.constantFrom("a", "b"), fc.nat(1)).map((left) => new Map(Object.entries(left))),
});

const register: Step = async ({ storage, workers }) => {
  const { epoch, now } = await storage.leases.register({
    workerName: "w",
    leaseMs: LEASE_MS,
    definitions: [ORDER],
  });
  workers.push({ epoch, heartbeatAt: now, alive: true });
};

const weights = {
  register: 1,
  start: 4,
  write: 6,
  send: 3,
  refuse: 1,
  claim: 4,
  pass: 3,
  fence: 2,
  retire: 1,
};

const steps: Record<keyof typeof weights, fc.Arbitrary<Step>> = {
  register: fc.constant(register),
  start: fc
    .tuple(number, fc.boolean(), fc.nat(3), tenant)
    .map(([w, owned, delay, tenantId]) => async (model) => {
      const worker = at(model.workers, w);
      if (!worker) return;
      const wakeAt = model.clock.now() + delay * 4_000;
      const start = toStart(model.t, { owned, tenantId, wakeAt: owned ? null : wakeAt });
      const failure = await append(
        { storage: model.storage, epoch: worker.epoch },
        toStartEntry(start),
      ).catch(codeOf);
      if (!worker.alive) return expect(failure).toBe("SAGAZ_FENCED");
      const { sagaId } = start;
      const owner = owned ? worker.epoch : undefined;
      const row = { sagaId, tenantId, owner, wakeAt };
      model.sagas.push({ ...row, seq: 1, adoptions: 0, ended: false, mailSeq: 0, unread: [] });
    }),
  write: fc
    .tuple(number, number, fc.constantFrom("step", "sleep", "wait", "end"), fc.boolean(), fc.boolean())
    .map(([w, s, what, read, honest]) => async (model) => {
      const saga = at(model.sagas, s);
      const owner = model.workers.find(({ epoch }) => epoch === saga?.owner);
      const worker = w % 4 === 0 ? at(model.workers, w) : owner;
      if (!worker || !saga) return;
      const now = model.clock.now();
      const took = honest ? saga.mailSeq : Math.max(0, saga.mailSeq - 1);
      const wakeAt = what === "sleep" ? now + 5_000 : null;
      const row =
        what === "step"
          ? toRow()
          : released(wakeAt, {
              mailSeq: took,
              finished: what === "end",
              status: what === "end" ? "completed" : "running",
            });
      const entry = toEntry(saga.sagaId, saga.seq + 1, { row, readMails: read ? saga.unread : [] });
      const failure = await append({ storage: model.storage, epoch: worker.epoch }, entry).catch(codeOf);
      if (!worker.alive || saga.owner !== worker.epoch) model.seen.refused++;
      if (!worker.alive) return expect(failure).toBe("SAGAZ_FENCED");
      if (saga.owner !== worker.epoch) return expect(failure).toBe("SAGAZ_CONFLICT");
      Object.assign(saga, { seq: saga.seq + 1, adoptions: 0, ended: what === "end" });
      model.seen.written++;
      if (what === "sleep") model.seen.slept++;
      if (read) saga.unread = [];
      if (what !== "step")
        Object.assign(saga, { owner: undefined, wakeAt: saga.mailSeq > took ? now : wakeAt });
    }),
  send: number.map((s) => async (model) => {
    const saga = at(model.sagas, s);
    if (!saga) return;
    const mail = toMail(saga.sagaId);
    await model.storage.mailbox.send(mail);
    await model.storage.mailbox.send(mail);
    model.seen.mailed++;
    saga.mailSeq++;
    saga.unread.push(mail.mailId);
    if (saga.owner === undefined) saga.wakeAt = Math.min(saga.wakeAt ?? Infinity, model.clock.now());
  }),
  refuse: fc.tuple(number, number).map(([w, s]) => async (model) => {
    const [worker, saga] = [at(model.workers, w), at(model.sagas, s)];
    const mailId = saga?.unread[0];
    if (!worker || !saga || mailId === undefined) return;
    await model.storage.mailbox.refuse(worker.epoch, [
      { mailId, sagaId: saga.sagaId, code: "SAGAZ_CONFLICT", details: "{}" },
    ]);
    if (saga.owner === worker.epoch) saga.unread.shift();
  }),
  claim: fc
    .tuple(number, fc.integer({ min: 1, max: 4 }), fc.option(tenantRoom, { nil: undefined }))
    .map(([w, limit, tenants]) => async (model) => {
      const worker = at(model.workers, w);
      if (!worker) return;
      const { epoch } = worker;
      const wanted = { epoch, limit, definitions: [ORDER], ...(tenants ? { tenants } : {}) };
      const claimed = await model.storage.leases.claim(wanted);
      const due = model.due();
      const fitting = due.filter(({ tenantId }, n) => {
        if (tenantId === null || !tenants) return true;
        const before = due.slice(0, n).filter((saga) => saga.tenantId === tenantId).length;
        return before < (tenants.left.get(tenantId) ?? tenants.each);
      });
      const expected = worker.alive ? fitting.slice(0, limit) : [];
      expect(claimed.map(({ journal: { length }, ...saga }) => ({ ...saga, seq: length }))).toEqual(
        expected.map(({ sagaId, adoptions, mailSeq, seq }) => ({ sagaId, adoptions, mailSeq, seq })),
      );
      model.seen.claimed += expected.length;
      if (worker.alive) model.seen.passed += due.length - fitting.length;
      for (const saga of expected) saga.owner = worker.epoch;
    }),
  pass: fc.nat(12_000).map((ms) => (model) => model.clock.advance(ms)),
  fence: fc.constant(async (model) => {
    let count = 0;
    for (const worker of model.workers) {
      if (!worker.alive || model.clock.now() <= worker.heartbeatAt + LEASE_MS) continue;
      worker.alive = false;
      count += model.letGo(worker.epoch, 1);
    }
    model.seen.adopted += count;
    expect(await model.storage.leases.fenceExpired()).toBe(count);
  }),
  retire: number.map((w) => async (model) => {
    const worker = at(model.workers, w);
    if (!worker) return;
    await model.storage.leases.retire(worker.epoch);
    worker.alive = false;
    model.letGo(worker.epoch, 0);
  }),
};

test("in any order of calls the indexes answer as a search through everything would", async () => {
  const names = Object.keys(weights) as (keyof typeof weights)[];
  const weighted = names.map((name) => ({ arbitrary: steps[name], weight: weights[name] }));
  const history = fc.array(fc.oneof(...weighted), { minLength: 20, maxLength: 80, size: "max" });
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(history, async (calls) => {
      const model = new Model();
      for (const call of [register, register, ...calls]) {
        await call(model);
        await model.check();
      }
      for (const [what, times] of Object.entries(model.seen)) seen.set(what, (seen.get(what) ?? 0) + times);
    }),
    { numRuns: 100 },
  );
  expect([...seen].filter(([, times]) => times < 20)).toEqual([]);
});
