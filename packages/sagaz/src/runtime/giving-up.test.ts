import { expect, test, vi } from "vitest";
import { next } from "../core/decide/next.ts";
import { fail } from "../core/decide/outcome.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { Stage, gate } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { toMail } from "./entry.ts";
import { silentLog } from "../ports/log.ts";
import { SagaOrchestrator } from "./orchestrator.ts";

// As it is; one test plants a bug in it.
vi.mock("../core/decide/next.ts", { spy: true });

/** Holds back the write that holds a certain event, and counts the writes that are refused. */
function holdBack(storage: InMemoryStorage, type: string) {
  const { journal } = storage;
  const append = journal.append.bind(journal);
  const [asked, goesOn] = [gate(), gate()];
  const refused: unknown[] = [];
  journal.append = async (batch) => {
    if (batch.entries.some(({ events }) => events.some((event) => event.type === type))) {
      asked.open();
      await goesOn.promise;
    }
    return append(batch).catch((error: unknown) => {
      refused.push(error);
      throw error;
    });
  };
  return { asked: asked.promise, goOn: () => goesOn.open(), refused };
}

/** Lets everything happen that was waiting for nothing but its turn. */
const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test("a late effect while the saga's end is being written: whoever has it next undoes it", async () => {
  const storage = new InMemoryStorage();
  const [late, undoneAgain] = [gate<string>(), gate()];
  const outcomes: string[] = [];
  const saga = new ClassicSaga({ name: "late-at-the-end", strategy: "FAIL_FAST", settleMs: 10 })
    .addStep(
      "deaf",
      () => late.promise,
      (ctx) => {
        if (outcomes.push(ctx.outcome) === 2) undoneAgain.open();
      },
    )
    .addStep("boom", () => {
      throw fail("no");
    });
  const { asked, goOn, refused } = holdBack(storage, "saga_compensated");
  await using orchestrator = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
  await orchestrator.start();
  const { id } = await orchestrator.sagas.start(saga, null);
  await asked;
  late.open("charged");
  await settled();
  goOn();
  await undoneAgain.promise;
  expect(outcomes).toEqual(["unknown", "done"]);
  expect((await orchestrator.sagas.result(id)).status).toBe("compensated");
  expect(refused).toEqual([]);
});

test("a request while the saga's end is being written is left to whoever has it next", async () => {
  const storage = new InMemoryStorage();
  const { fetch } = storage.mailbox;
  const fetched = gate();
  storage.mailbox.fetch = async (...call) => {
    const mails = await fetch(...call);
    if (mails.length > 0) void settled().then(() => fetched.open());
    return mails;
  };
  const saga = new ClassicSaga({ name: "asked-at-the-end" }).addStep(
    "a",
    () => 1,
    () => {},
  );
  const { asked, goOn, refused } = holdBack(storage, "saga_completed");
  await using orchestrator = new SagaOrchestrator({ storage, sagas: [saga], log: silentLog });
  await orchestrator.start();
  const { id } = await orchestrator.sagas.start(saga, null);
  await asked;
  const cancelling = orchestrator.sagas.cancel(id, { reason: "after all" });
  await fetched.promise;
  goOn();
  await cancelling;
  expect((await orchestrator.sagas.result(id)).status).toBe("compensated");
  expect(refused).toEqual([]);
});

test("a saga that is stuck and has ended answers its mail and is given up", async () => {
  await using stage = await Stage.open();
  const { storage, clock } = stage;
  const saga = new ClassicSaga({ name: "ended" }).addStep("a", () => 1);
  const process = await stage.process(saga);
  const { sagaId } = await stage.run(process, saga, null);
  vi.mocked(next).mockImplementationOnce(() => {
    throw new Error("a bug");
  });
  const mail = toMail("late", sagaId, { kind: "signal", signal: "hello", payload: null });
  await stage.drive(storage.mailbox.send(mail));
  await clock.advance(5_000);
  expect(process.logged.map(({ level }) => level)).toContain("error");
  expect(await stage.drive(storage.queries.find(sagaId))).toMatchObject({
    owner: null,
    status: "completed",
    waitingFor: null,
  });
  expect(await stage.drive(storage.mailbox.outcome(mail))).toMatchObject({ code: "SAGAZ_SAGA_ENDED" });
});
