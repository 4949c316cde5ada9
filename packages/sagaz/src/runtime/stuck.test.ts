import { describe, expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { fail } from "../core/decide/outcome.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { buildGraph } from "../core/definition/graph.ts";
import { toEntry, toRow } from "../testing/conformance/storage/material.ts";
import { ClassicSaga } from "./classic-saga.ts";
import { Stage, Trace } from "../../../../tests/engine/stage.ts";
import type { Process } from "../../../../tests/engine/stage.ts";

/** A definition of the same name, version and graph in which a rule of ours is broken: what a bug would look like. */
const withoutUndoOrder = <Input, Output>(definition: SagaDefinition<Input, Output>) => ({
  ...definition,
  graph: { ...definition.graph, undoneBefore: new Map() },
});

const goesBack = (trace: Trace) =>
  build("goes-back")
    .step("a", { do: trace.note("a"), undo: trace.undo("a") })
    .step("b", {
      after: ["a"],
      do: () => {
        throw fail("no");
      },
    })
    .build();

const stuck = { status: "parked", parked: { reason: "stuck" } };

/** Runs the saga where the bug is, until it is stuck. */
async function getStuck(stage: Stage, definition: SagaDefinition) {
  const bad = await stage.process(withoutUndoOrder(definition));
  const result = await stage.run(bad, definition.name, undefined);
  expect(result).toMatchObject(stuck);
  return { bad, sagaId: result.sagaId };
}

describe("a bug of ours", () => {
  test("parks its saga as stuck, loudly, naming the rule; the others of the process go on", async () => {
    await using stage = await Stage.open();
    const definition = goesBack(new Trace(stage));
    const other = new ClassicSaga({ name: "other" }).addStep("x", () => 1);
    const process = await stage.process(withoutUndoOrder(definition), other);
    const result = await stage.run(process, definition.name, undefined);
    expect(result).toMatchObject(stuck);
    expect(process.logged).toContainEqual({
      level: "error",
      message: expect.stringContaining("bug in sagaz") as string,
      details: {
        sagaId: result.sagaId,
        error: expect.stringContaining("its place in the undo order") as string,
      },
    });
    expect(await stage.run(process, other, null)).toMatchObject({ status: "completed" });
  });

  test("that is mended: a retry goes on from what is on record", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const definition = goesBack(trace);
    const { bad, sagaId } = await getStuck(stage, definition);
    await bad.stop();
    const mended = await stage.process(definition);
    await stage.drive(mended.sagas.retry(sagaId, { reason: "deployed the fix" }));
    expect(await stage.drive(mended.sagas.result(sagaId))).toMatchObject({ status: "compensated" });
    expect(trace.calls).toEqual(["a", "undo a"]);
  });

  test("that is still there: a retry gets stuck again, and is answered", async () => {
    await using stage = await Stage.open();
    const { bad, sagaId } = await getStuck(stage, goesBack(new Trace(stage)));
    await stage.drive(bad.sagas.retry(sagaId, { reason: "hopeful" }));
    expect(await stage.drive(bad.sagas.result(sagaId, { orParked: true }))).toMatchObject(stuck);
    const history = await stage.history(bad, sagaId);
    expect(history.slice(-3)).toEqual(["saga_parked", "retry_requested", "saga_parked"]);
  });

  test("that is still there: a person can close the saga by force", async () => {
    await using stage = await Stage.open();
    const { bad, sagaId } = await getStuck(stage, goesBack(new Trace(stage)));
    await stage.drive(bad.sagas.forceClose(sagaId, { reason: "settled by hand" }));
    expect(await stage.drive(bad.sagas.result(sagaId))).toMatchObject({ status: "forced_closed" });
  });

  test("met with attempts in flight: what they did is known afterwards, and not done twice", async () => {
    await using stage = await Stage.open();
    const trace = new Trace(stage);
    const definition = build("in-flight")
      .step("a", { do: trace.slow("a", { ms: 1_000, deaf: true }), undo: trace.undo("a") })
      .step("b", {
        do: trace.note("b", () => {
          if (trace.calls.filter((call) => call === "b").length === 1) throw new Error("later");
          return 1;
        }),
      })
      .build();
    const steps = definition.steps.map((step) =>
      step.name === "b" ? Object.defineProperty({ ...step }, "stepTimeoutMs", { get: brokenRule }) : step,
    );
    const bad = await stage.process({ ...definition, steps, graph: buildGraph(steps) });
    const parked = await stage.run(bad, definition.name, undefined);
    expect(parked).toMatchObject(stuck);
    await stage.clock.advance(5_000);
    await bad.stop();
    const mended = await stage.process(definition);
    await stage.drive(mended.sagas.retry(parked.sagaId, { reason: "deployed the fix" }));
    expect(await stage.drive(mended.sagas.result(parked.sagaId))).toMatchObject({ status: "completed" });
    expect(trace.calls).toEqual(["a", "b", "a finished", "b"]);
  });
});

function brokenRule(): never {
  throw new TypeError("a rule of ours is broken");
}

describe("mail that no request was ever written as", () => {
  test("is refused as a bug, for its sender to see; the saga goes on", async () => {
    await using stage = await Stage.open();
    const saga = build("waits").signal("go").build();
    const process = await stage.process(saga);
    const { id } = await stage.start(process, saga, undefined);
    const mail = { mailId: "odd", sagaId: id };
    await stage.drive(stage.storage.mailbox.send({ ...mail, kind: "signal", body: "null" }));
    await stage.drive(process.sagas.signal(id, "go", 7));
    expect(await stage.drive(process.sagas.result(id))).toMatchObject({ output: { go: 7 } });
    expect(await stage.drive(stage.storage.mailbox.outcome(mail))).toMatchObject({
      kind: "refused",
      code: "SAGAZ_BUG",
    });
  });
});

describe("a journal that cannot be read back", () => {
  /** Writes a saga whose second event cannot follow its first, for anybody to claim. */
  async function writeUnreadable(stage: Stage, process: Process, definition: SagaDefinition) {
    const handle = await stage.start(process, definition, undefined);
    await process.stop();
    const { leases, journal, queries } = stage.storage;
    const held = { sagaName: definition.name, version: 1, graphHash: definition.graphHash, graph: "{}" };
    const { epoch } = await leases.register({ workerName: "broken", leaseMs: 60_000, definitions: [held] });
    const claim = { sagaName: held.sagaName, version: 1 };
    await leases.claim({ epoch, limit: 1, definitions: [claim] });
    const { length: seq } = await queries.journal(handle.id);
    const row = await queries.find(handle.id);
    await journal.append({
      epoch,
      entries: [
        toEntry(handle.id, seq + 1, {
          events: [{ type: "step_compensated", step: "a", data: "{}" }],
          row: toRow({ release: { wakeAt: row!.createdAt, mailSeq: 0 } }),
        }),
      ],
    });
    return handle.id;
  }

  test("parks its saga as stuck, loudly, and no other", async () => {
    await using stage = await Stage.open();
    const definition = build("unreadable")
      .step("a", { do: () => 1, undo: () => {} })
      .build();
    const starter = await stage.processWith({ sagas: [definition], sagasInFlightMax: 0 });
    const sagaId = await writeUnreadable(stage, starter, definition);
    const process = await stage.process(definition);
    const other = await stage.run(process, definition, undefined);
    expect(other).toMatchObject({ status: "completed" });
    const [row] = (await stage.drive(process.sagas.list({ status: ["parked"] }))).sagas;
    expect(row).toMatchObject({ sagaId, status: "parked", parkedReason: "stuck" });
    expect(process.logged).toContainEqual(
      expect.objectContaining({
        level: "error",
        details: expect.objectContaining({ sagaId, reason: "stuck" }) as unknown,
      }),
    );
  });
});
