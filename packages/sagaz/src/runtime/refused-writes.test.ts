import { expect, test } from "vitest";
import { SagaError } from "../core/errors.ts";
import { Stage, Trace } from "../../../../tests/engine/stage.ts";
import { ClassicSaga } from "./classic-saga.ts";

/** Refuses so many writes that hold a certain event, as a storage might that finds fault with them. */
function refuse(
  stage: Stage,
  type: string,
  options: { times: number; code?: "SAGAZ_CONFLICT" },
): () => number {
  const { journal } = stage.storage;
  const append = journal.append.bind(journal);
  let left = options.times;
  journal.append = async (batch) => {
    const isMeant = batch.entries.some(({ events }) => events.some((event) => event.type === type));
    if (isMeant && left > 0) {
      left--;
      throw new SagaError(options.code ?? "SAGAZ_STORAGE_REFUSED", { message: "a test says no" });
    }
    return append(batch);
  };
  return () => options.times - left;
}

const twoSteps = (trace: Trace, name: string) =>
  new ClassicSaga({ name, sequential: true })
    .addStep("a", trace.note("a"), trace.undo("a"))
    .addStep("b", trace.note("b"));

test("a write that was refused once: the saga is loaded anew and goes on", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const saga = twoSteps(trace, "once");
  const process = await stage.process(saga);
  const refused = refuse(stage, "step_done", { times: 1 });
  expect(await stage.run(process, saga, null)).toMatchObject({ status: "completed" });
  expect(refused()).toBe(1);
  expect(trace.calls).toEqual(["a", "a", "b"]);
});

test("a write that is refused again and again parks the saga as stuck, loudly; others go on", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const saga = twoSteps(trace, "never");
  const quiet = new ClassicSaga({ name: "quiet" }).addStep("x", () => 1);
  const process = await stage.process(saga, quiet);
  refuse(stage, "step_done", { times: 2 });
  const parked = await stage.run(process, saga, null);
  expect(parked).toMatchObject({ status: "parked", parked: { reason: "stuck" } });
  expect(process.logged.map(({ level }) => level)).toContain("error");
  expect(await stage.run(process, quiet, null)).toMatchObject({ status: "completed" });
  await stage.drive(process.sagas.retry(parked.sagaId, { reason: "mended" }));
  expect(await stage.drive(process.sagas.result(parked.sagaId))).toMatchObject({ status: "completed" });
});

test("a conflict is looked at, not believed: what is stored decides", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const saga = twoSteps(trace, "conflict");
  const process = await stage.process(saga);
  refuse(stage, "step_done", { times: 1, code: "SAGAZ_CONFLICT" });
  expect(await stage.run(process, saga, null)).toMatchObject({ status: "completed" });
});

test("a straggling write of our own is not taken for another's: the start is on record, and said to be", async () => {
  await using stage = await Stage.open();
  const trace = new Trace(stage);
  const saga = twoSteps(trace, "straggling");
  const process = await stage.process(saga);
  const { journal } = stage.storage;
  const append = journal.append.bind(journal);
  let tries = 0;
  journal.append = async (batch) => {
    tries++;
    if (tries === 1) throw new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "lost" });
    // What was sent first arrives just before it is sent again.
    if (tries === 2) await append(batch);
    return append(batch);
  };
  expect(await stage.run(process, saga, null)).toMatchObject({ status: "completed" });
  expect(trace.calls).toEqual(["a", "b"]);
});
