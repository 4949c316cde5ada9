import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import type { ClaimedSaga, StartRow } from "../ports/storage.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { Stage, Trace, gate } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { silentLog } from "../ports/log.ts";
import { RollCall } from "./roll-call.ts";

/** Two leases: by then the roll has been called. */
const LEASE_MS = 5_000;
const soon = 30_000;

test("a saga whose parking was refused is taken up again, and parked without being run", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const saga = new ClassicSaga({ name: "unparked" }).addStep("a", trace.note("a"));
  const process = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
  const { journal } = stage.storage;
  const append = journal.append.bind(journal);
  const refusals = ["step_done", "step_done", "saga_parked"];
  journal.append = async (batch) => {
    const types = batch.entries.flatMap(({ events }) => events.map(({ type }) => type));
    if (refusals[0] === undefined || !types.includes(refusals[0])) return append(batch);
    throw new SagaError("SAGAZ_STORAGE_REFUSED", { message: `no ${refusals.shift()}` });
  };
  const handle = await stage.start(process, saga, null);
  const parked = await stage.drive(handle.result({ orParked: true }), soon);
  expect(parked).toMatchObject({ status: "parked", parked: { reason: "stuck" } });
  expect(trace.calls).toEqual(["a", "a"]);
});

test("a start that comes through after it was given up is found, and run", async () => {
  await using stage = await Stage.open();
  const saga = new ClassicSaga({ name: "straggler" }).addStep("a", () => 1);
  const process = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
  const { journal } = stage.storage;
  const startKeyed = journal.startKeyed.bind(journal);
  const sent: { epoch: number; starts: readonly StartRow[] }[] = [];
  journal.startKeyed = async (epoch, starts) => {
    sent.push({ epoch, starts });
    if (sent.length === 1) throw new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "lost" });
    throw new SagaError("SAGAZ_STORAGE_REFUSED", { message: "the id is too old by now" });
  };
  await expect(stage.start(process, saga, null, { idempotencyKey: "k" })).rejects.toMatchObject({
    code: "SAGAZ_STORAGE_REFUSED",
  });
  const [first] = sent;
  const [outcome] = await stage.drive(startKeyed(first!.epoch, first!.starts));
  expect(outcome).toMatchObject({ kind: "started" });
  const { sagaId } = first!.starts[0]!;
  expect(await stage.drive(process.sagas.result(sagaId), soon)).toMatchObject({ status: "completed" });
});

/** A roll that is called on a storage whose answer is awaited: what it was asked, and the means to answer. */
function openRoll(known: readonly string[]) {
  const storage = new InMemoryStorage();
  const answer = gate<readonly ClaimedSaga[]>();
  const asked: (readonly string[])[] = [];
  storage.leases.forgotten = (question) => {
    asked.push(question.known);
    return answer.promise;
  };
  const found: string[] = [];
  const rollCall = new RollCall({
    storage,
    log: silentLog,
    epoch: () => 1,
    isWanted: () => true,
    known: () => known,
    onForgotten: (sagas) => found.push(...sagas.map(({ sagaId }) => sagaId)),
  });
  const call = () => {
    for (let beats = 0; beats < 6; beats++) rollCall.onBeat();
  };
  const owned = (...ids: readonly string[]) =>
    answer.open(ids.map((sagaId) => ({ sagaId, adoptions: 0, mailSeq: 0, journal: [] })));
  return { rollCall, call, owned, asked, found };
}

/** Lets everything happen that was waiting for nothing but its turn. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("the roll is not called while a claim is under way, and claims wait while it is called", async () => {
  const known: string[] = [];
  const { rollCall, call, owned, asked, found } = openRoll(known);
  const [first, second] = [gate(), gate()];
  const claimed: string[] = [];
  const claim = async (sagaId: string, answered: Promise<void>) => {
    await answered;
    known.push(sagaId);
    claimed.push(sagaId);
  };
  const taking = [rollCall.taking(() => claim("a", first.promise))];
  call();
  taking.push(rollCall.taking(() => claim("b", second.promise)));
  second.open();
  await settled();
  expect([asked, claimed]).toEqual([[], []]);
  first.open();
  await settled();
  expect([asked, claimed]).toEqual([[["a"]], ["a"]]);
  owned("a", "forgotten");
  await Promise.all(taking);
  expect([found, claimed]).toEqual([["forgotten"], ["a", "b"]]);
});

test("a saga that came and went while the roll was called is not forgotten", async () => {
  const { rollCall, call, owned, found } = openRoll([]);
  call();
  await settled();
  rollCall.came("quick");
  owned("quick", "forgotten");
  await settled();
  expect(found).toEqual(["forgotten"]);
});
