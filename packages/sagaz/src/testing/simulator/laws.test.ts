import { describe, expect, test } from "vitest";
import { saga } from "../../core/definition/builder.ts";
import type { SagaDefinition } from "../../core/definition/definition.ts";
import type { EventRow, RowChange, StartRow } from "../../ports/storage.ts";
import { event, newId, register, toEntry, toRow, toStart } from "../conformance/storage/material.ts";
import type { StorageUnderTest } from "../conformance/storage/storage-rule.ts";
import { FakeClock } from "../fake-clock.ts";
import { judgeAttempt } from "./attempt-laws.ts";
import { judgeRest } from "./final-laws.ts";
import type { StartNote } from "./final-laws.ts";
import { History } from "./history.ts";
import type { StepCall } from "./step-calls.ts";
import { WatchedStorage } from "./watched-storage.ts";

// A law that never fails proves nothing: each is shown a world that breaks it, and one that does not.

const definition = saga("laws")
  .step("a", { do: () => 1, undo: () => {} })
  .step("b", { after: ["a"], do: () => 1, undo: () => {} })
  .map("m", { after: ["a"], over: () => [1], do: () => 1, undo: () => {} })
  .child("c", {
    after: ["a"],
    saga: saga("inner")
      .step("x", { do: () => 1, undo: () => {} })
      .build(),
    input: () => undefined,
  })
  .pivot("p", { after: ["b", "m", "c"], do: () => 1 })
  .build();

const error = { name: "E", message: "no", kind: "business" };
const started = {
  name: "laws",
  version: 1,
  graphHash: definition.graphHash,
  input: null,
  headers: {},
  admitted: true,
};

const begun = (data: object = {}): EventRow => event("saga_started", JSON.stringify({ ...started, ...data }));
const done = (step: string) => event("step_done", '{"result":1}', step);
const goesBack = [
  event("step_failed", JSON.stringify({ error }), "p"),
  event("compensation_started", JSON.stringify({ cause: { kind: "step", step: "p", error } })),
];
const pivotStarted = event("pivot_started", "{}", "p");
const cancelled = event(
  "compensation_started",
  JSON.stringify({ cause: { kind: "cancel", actor: "ann", reason: "r" } }),
);

/** A world without an engine: the test writes what an engine should, or should not, have written. */
async function world() {
  const clock = new FakeClock();
  const history = new History(clock);
  const storage = new WatchedStorage(clock, history);
  const t = { storage: storage.storage, now: () => clock.now() } as StorageUnderTest;
  const epoch = await register(t.storage);
  const append = (entry: ReturnType<typeof toEntry>, by = epoch) =>
    t.storage.journal.append({ epoch: by, entries: [entry] });
  /** A saga with this journal, owned by the worker unless its row says otherwise. */
  const write = async (
    events: readonly EventRow[],
    options: { row?: RowChange | undefined; start?: Partial<StartRow> } = {},
  ) => {
    const start = toStart(t, { started: events[0]!, ...options.start });
    await append(toEntry(start.sagaId, 1, { start, events: [events[0]!] }));
    if (events.length > 1 || options.row)
      await append(toEntry(start.sagaId, 2, { events: events.slice(1), row: options.row }));
    return start.sagaId;
  };
  const laws = () => history.breaches.map(({ law }) => law);
  return { clock, history, storage, t, epoch, append, write, laws };
}

type World = Awaited<ReturnType<typeof world>>;

/** The worker calls a function of this step, now. */
function call(
  { storage, history, epoch }: World,
  what: { kind: StepCall["kind"]; step: string; sagaId: string; key?: string; by?: number },
) {
  const { kind, sagaId, step, key = step } = what;
  const ctx = { sagaId, step: key } as StepCall["ctx"];
  const made = { kind, definition: definition as SagaDefinition, step: stepOf(step), ctx };
  judgeAttempt(made, { epoch: what.by ?? epoch }, { storage, history });
}

const stepOf = (name: string) => definition.graph.byName.get(name)!;
const paused = toRow({ paused: true });

describe("the laws of an action's attempts", () => {
  const onRecord = "an attempt starts only on what is on record";

  test.each<[string, { step: string; key?: string; journal: EventRow[]; row?: RowChange; law: string }]>([
    ["a dependency that is not on record", { step: "b", journal: [begun()], law: onRecord }],
    ["an item before its list", { step: "m", key: "m[0]", journal: [begun(), done("a")], law: onRecord }],
    [
      "a pivot whose start is not on record",
      {
        step: "p",
        journal: [begun(), ...["a", "b", "m", "c"].map(done)],
        law: "the pivot's start is on record before its first attempt",
      },
    ],
    [
      "a step that is done",
      { step: "a", journal: [begun(), done("a")], law: "no recorded result is recomputed" },
    ],
    [
      "a saga that goes back",
      {
        step: "a",
        journal: [begun(), cancelled],
        law: "nothing is done once compensation has started",
      },
    ],
    [
      "a saga that is paused",
      { step: "a", journal: [begun()], row: paused, law: "nothing begins in a paused saga" },
    ],
  ])("%s is a breach", async (_, { journal, row, law, ...what }) => {
    const w = await world();
    const sagaId = await w.write(journal, { row });
    call(w, { kind: "do", sagaId, ...what });
    expect(w.laws()).toEqual([law]);
  });

  test("are kept by an engine that begins what is due", async () => {
    const w = await world();
    const sagaId = await w.write([
      begun(),
      done("a"),
      event("map_listed", '{"items":[1]}', "m"),
      event("step_skipped", '{"actor":"ann","reason":"r"}', "b"),
    ]);
    call(w, { kind: "do", step: "m", key: "m[0]", sagaId });
    await w.append(toEntry(sagaId, 5, { events: [done("m"), done("c"), pivotStarted] }));
    call(w, { kind: "do", step: "p", sagaId });
    call(w, { kind: "verify", step: "p", sagaId });
    expect(w.laws()).toEqual([]);
  });

  test("bind only a saga's owner: the calls of a zombie carry the same key", async () => {
    const w = await world();
    const sagaId = await w.write([begun(), done("a"), cancelled]);
    call(w, { kind: "do", step: "a", sagaId, by: w.epoch + 1 });
    expect(w.laws()).toEqual([]);
  });

  test("let an owner act on a request to resume that is not on record yet", async () => {
    const w = await world();
    const sagaId = await w.write([begun()], { row: paused });
    await w.t.storage.mailbox.send({ mailId: "1", sagaId, kind: "resume", body: "{}" });
    call(w, { kind: "do", step: "a", sagaId });
    expect(w.laws()).toEqual([]);
  });
});

describe("the laws of an undo's attempts", () => {
  test.each<[string, { step: string; journal: EventRow[]; row?: RowChange; laws: string[] }]>([
    [
      "after a pivot that failed",
      {
        step: "b",
        journal: [begun({ pivot: "p" }), done("a"), done("b"), pivotStarted, ...goesBack],
        laws: [],
      },
    ],
    [
      "after a pivot that may have happened",
      {
        step: "b",
        journal: [begun({ pivot: "p" }), done("a"), done("b"), pivotStarted],
        laws: [
          "nothing is undone once the pivot may have happened",
          "compensation is on record before the first undo",
        ],
      },
    ],
    [
      "before compensation is on record",
      { step: "a", journal: [begun(), done("a")], laws: ["compensation is on record before the first undo"] },
    ],
    [
      "before that of a step that saw its result",
      {
        step: "a",
        journal: [begun(), done("a"), done("b"), cancelled],
        laws: ["undo follows the reverse of the dependency order"],
      },
    ],
    [
      "before that of an item that saw its result",
      {
        step: "a",
        journal: [begun(), done("a"), event("map_listed", '{"items":[1]}', "m"), done("m[0]"), cancelled],
        laws: ["undo follows the reverse of the dependency order"],
      },
    ],
    [
      "of a saga that is paused",
      {
        step: "a",
        journal: [begun(), done("a"), cancelled],
        row: paused,
        laws: ["nothing begins in a paused saga"],
      },
    ],
    [
      "after the end",
      {
        step: "a",
        journal: [
          begun(),
          done("a"),
          cancelled,
          event("step_compensated", "{}", "a"),
          event("saga_compensated", '{"exceptions":[]}'),
        ],
        laws: ["nothing is undone after the end"],
      },
    ],
  ])("an undo %s", async (_, { step, journal, row, laws }) => {
    const w = await world();
    const sagaId = await w.write(journal, { row });
    call(w, { kind: "undo", step, sagaId });
    expect(w.laws()).toEqual(laws);
  });

  test("bind only a saga's owner, but for what nobody may undo", async () => {
    const w = await world();
    const sagaId = await w.write([begun(), done("a"), done("b"), cancelled]);
    call(w, { kind: "undo", step: "a", sagaId, by: w.epoch + 1 });
    expect(w.laws()).toEqual([]);
  });

  test("count a child as undone when its own saga is, before its parent has heard", async () => {
    const w = await world();
    const childId = newId(w.t);
    const sagaId = await w.write([
      begun(),
      done("a"),
      event("child_started", JSON.stringify({ childId, input: null }), "c"),
      done("c"),
      cancelled,
    ]);
    call(w, { kind: "undo", step: "a", sagaId });
    expect(w.laws()).toEqual(["undo follows the reverse of the dependency order"]);
    await w.write([begun({ name: "inner" })], {
      row: toRow({ status: "compensated" }),
      start: { sagaId: childId },
    });
    call(w, { kind: "undo", step: "a", sagaId });
    expect(w.laws()).toHaveLength(1);
  });
});

describe("the laws of a world at rest", () => {
  const ended = [begun(), event("saga_completed", "{}")];
  const completed = toRow({ status: "completed", finished: true, release: { wakeAt: null, mailSeq: 0 } });
  const note = (fields: Partial<StartNote>): StartNote => ({
    key: undefined,
    sagaId: undefined,
    isNew: true,
    tx: undefined,
    ...fields,
  });
  const rest = ({ storage, history }: World, starts: readonly StartNote[] = []) =>
    judgeRest({ storage, history, starts });

  test("are kept by a saga that has ended, and by a start that nobody answered", async () => {
    const w = await world();
    const sagaId = await w.write(ended, { row: completed });
    rest(w, [note({ sagaId }), note({})]);
    expect(w.laws()).toEqual([]);
    expect(w.history.sights).toMatchObject({ sagas: 1, completed: 1 });
  });

  test("a saga that just stands there is a breach; one whose child waits is not", async () => {
    const w = await world();
    const parentId = await w.write([begun()], { row: toRow({ waitingFor: "child" }) });
    await w.write([begun({ parent: { sagaId: parentId, step: "c" } })], {
      row: toRow({ waitingFor: "signal" }),
      start: { parentId },
    });
    rest(w);
    expect(w.laws()).toEqual([]);
    await w.write([begun()], { row: toRow() });
    await w.write([begun()], { row: toRow({ waitingFor: "retry" }) });
    rest(w);
    expect(w.laws()).toEqual(Array(2).fill("every saga ends, or is parked or paused"));
    expect(w.history.breaches[0]?.detail).toContain("is running, waits for nothing");
    expect(w.history.breaches[1]?.detail).toContain("is running, waits for retry");
  });

  test("an acknowledged start that is not there is a breach, unless its transaction is open or rolled back", async () => {
    const w = await world();
    for (const tx of [
      undefined,
      { state: "committed" },
      { state: "open" },
      { state: "rolled back" },
    ] as const)
      rest(w, [note({ sagaId: newId(w.t), tx })]);
    expect(w.laws()).toEqual(Array(2).fill("no acknowledged start is lost"));
  });

  test("a start that was rolled back and is there is a breach, unless it found an older saga", async () => {
    const w = await world();
    const sagaId = await w.write(ended, { row: completed });
    rest(w, [note({ sagaId, tx: { state: "rolled back" }, isNew: false })]);
    expect(w.laws()).toEqual([]);
    rest(w, [note({ sagaId, tx: { state: "rolled back" } })]);
    expect(w.laws()).toEqual(["a start in a transaction that was rolled back never was"]);
  });

  test("two sagas of one key are a breach", async () => {
    const w = await world();
    const [one, two] = [await w.write(ended, { row: completed }), await w.write(ended, { row: completed })];
    rest(w, [note({ key: "k", sagaId: one }), note({ key: "k", sagaId: one })]);
    expect(w.laws()).toEqual([]);
    rest(w, [note({ key: "k", sagaId: one }), note({ key: "k", sagaId: two })]);
    expect(w.laws()).toEqual(["one key starts one saga"]);
  });

  test("a request without an answer is a breach", async () => {
    const w = await world();
    const sagaId = await w.write([begun()], { row: toRow({ waitingFor: "signal" }) });
    await w.t.storage.mailbox.send({ mailId: "1", sagaId, kind: "cancel", body: "{}" });
    rest(w);
    expect(w.laws()).toEqual(["every request is answered"]);
  });

  test("a journal that cannot be read back is a breach", async () => {
    const w = await world();
    await w.write([begun(), event("step_compensated", "{}", "a")], { row: toRow({ waitingFor: "signal" }) });
    rest(w);
    expect(w.laws()).toEqual(["a journal can be read back"]);
  });

  test("a row that says something else than its journal is a breach", async () => {
    const w = await world();
    await w.write([begun()], { row: toRow({ waitingFor: "signal", error: "made up" }) });
    rest(w);
    expect(w.laws()).toEqual(["a row is what its journal says"]);
  });

  test("a saga that is stuck is a breach", async () => {
    const w = await world();
    await w.write([begun(), event("saga_parked", '{"reason":"stuck"}')], {
      row: toRow({ status: "parked", parkedReason: "stuck" }),
    });
    rest(w);
    expect(w.laws()).toEqual(["no saga gets stuck"]);
    expect(w.history.sights).toMatchObject({ parks: 1 });
  });

  test("a journal whose time goes back is a breach", async () => {
    const w = await world();
    const sagaId = await w.write(ended, { row: completed });
    Object.assign(w.storage.journal(sagaId)[1]!, { at: 1 });
    rest(w);
    expect(w.laws()).toEqual(["time in a journal never goes back"]);
  });

  test("a journal with a gap is a breach", async () => {
    const w = await world();
    const sagaId = await w.write(ended, { row: completed });
    Object.assign(w.storage.journal(sagaId)[1]!, { seq: 3 });
    rest(w);
    expect(w.laws()).toContain("a journal counts without gaps");
  });

  test("five breaches are enough to know", async () => {
    const w = await world();
    for (let i = 0; i < 8; i++) w.history.breach("law", String(i));
    expect(w.history.breaches.map(({ detail }) => detail)).toEqual(["0", "1", "2", "3", "4"]);
  });
});

describe("what keeps a world from coming to rest", () => {
  test("is told by saga", async () => {
    const w = await world();
    const owned = await w.write([begun()]);
    const asleep = await w.write([begun()], {
      row: toRow({ waitingFor: "timer", release: { wakeAt: w.clock.now() + 500, mailSeq: 0 } }),
    });
    expect(w.storage.isQuiet()).toBe(false);
    expect(w.storage.unrest().split("; ")).toEqual([
      `${owned} running owner ${w.epoch} waits for null wakes never`,
      `${asleep} running owner null waits for timer wakes in 500 ms`,
    ]);
  });
});
