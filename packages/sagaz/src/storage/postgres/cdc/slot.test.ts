import { describe, expect, test } from "vitest";
import { SagaError } from "../../../core/errors.ts";
import type { TextRow } from "../connection.ts";
import type { Database } from "../database.ts";
import { toSagaError } from "../errors.ts";
import { isRead, Slot, slotError } from "./slot.ts";

const LIMITS = { slotWalBytesMax: 1_000 };
/** A slot that is there, and well. */
const WELL: TextRow = {
  slot: "sagaz_1",
  mode: "cdc",
  wal_level: "logical",
  is_standby: "false",
  is_published: "true",
  is_there: "true",
  is_made: "true",
  wal_status: "reserved",
  kept: "10",
};

/** As the server says it. */
const said = (code: string, message = "so it is") =>
  toSagaError(Object.assign(new Error(message), { severity: "ERROR", code }), { commits: true });

/** A slot of which the server says this; what is written, and what comes of it. */
function open(state: TextRow, answers: Readonly<Record<string, readonly TextRow[] | SagaError>> = {}) {
  const written: string[] = [];
  const sql = new Proxy({}, { get: (_, name) => name });
  const database = {
    schema: "sagaz",
    sql,
    read: async () => [{ ...WELL, ...state }],
    async write({ text }: { text: string }) {
      written.push(text);
      const answer = answers[text] ?? [];
      if (answer instanceof SagaError) throw answer;
      return answer;
    },
  };
  return { slot: new Slot(database as unknown as Database), written };
}

describe("a slot that is there", () => {
  test.each<[string, TextRow, object, readonly string[]]>([
    ["well", {}, { kind: "ready" }, []],
    ["still being made", { is_made: "false" }, { kind: "soon" }, []],
    ["one that holds no log yet", { kept: null }, { kind: "ready" }, []],
    ["far behind", { kept: "1001" }, { kind: "behind", keptBytes: 1_001 }, ["dropSlotBehind"]],
    ["without its log", { wal_status: "lost" }, { kind: "lost" }, ["dropSlot"]],
    ["without its publication", { is_published: "false" }, { kind: "lost" }, ["dropSlot"]],
    ["Debezium's turn", { mode: "debezium" }, { kind: "soon" }, ["dropSlot"]],
    ["on a standby", { is_standby: "true" }, { kind: "unavailable" }, []],
    ["where the log does not tell enough", { wal_level: "replica" }, { kind: "unavailable" }, []],
  ])("%s", async (_, state, outlook, writes) => {
    const { slot, written } = open(state);
    expect(await slot.prepare(LIMITS)).toMatchObject(outlook);
    expect(written).toEqual(writes);
  });

  test("being read: what becomes of it is told, and nothing is dropped", async () => {
    for (const [state, trouble] of [
      [{}, undefined],
      [{ is_there: "false" }, { kind: "lost", why: "it was dropped" }],
      [{ kept: "2000" }, { kind: "behind", keptBytes: 2_000 }],
    ] as const) {
      const { slot, written } = open(state);
      expect(await slot.trouble(LIMITS)).toEqual(trouble);
      expect(written).toEqual([]);
    }
  });
});

describe("one that is made", () => {
  const absent = { is_there: "false" };

  test("is ready when the server says so", async () => {
    const { slot, written } = open(absent, { makeSlot: [{ is_made: "true" }] });
    expect(await slot.prepare(LIMITS)).toEqual({ kind: "ready" });
    expect(written).toEqual(["ensurePublication", "undrain", "makeSlot"]);
    const busy = open(absent, { makeSlot: [{ is_made: "false" }] });
    expect(await busy.slot.prepare(LIMITS)).toEqual({ kind: "soon" });
  });

  test("comes soon when another worker makes it, or the answer takes longer than we wait", async () => {
    for (const error of [said("42710"), new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "no answer" })]) {
      const { slot } = open(absent, { makeSlot: error });
      expect(await slot.prepare(LIMITS)).toEqual({ kind: "soon" });
    }
  });

  test("is not to be had when the server refuses it, which says what to do", async () => {
    const { slot } = open(absent, { makeSlot: said("53400", "all replication slots are in use") });
    expect(await slot.prepare(LIMITS)).toEqual({
      kind: "unavailable",
      why: "all replication slots are in use",
      advice: expect.stringContaining("max_replication_slots"),
    });
  });

  test("nor when its publication may not be made: an owner of the tables has to", async () => {
    const { slot, written } = open(absent, { ensurePublication: said("42501", "permission denied") });
    expect(await slot.prepare(LIMITS)).toEqual({
      kind: "unavailable",
      why: "permission denied",
      advice: expect.stringContaining("select sagaz.ensure_publication('sagaz_sagaz')"),
    });
    expect(written).toEqual(["ensurePublication"]);
  });

  test("any other trouble is the caller's to hear of", async () => {
    const away = new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" });
    for (const statement of ["ensurePublication", "makeSlot"])
      await expect(open(absent, { [statement]: away }).slot.prepare(LIMITS)).rejects.toBe(away);
  });
});

test("a reader that could not begin is told why", () => {
  expect(slotError(said("42704", "there is no slot"))).toMatchObject({
    code: "SAGAZ_SLOT_LOST",
    details: { why: "there is no slot" },
  });
  expect(slotError(said("55000"))).toMatchObject({ code: "SAGAZ_SLOT_LOST" });
  expect(slotError(said("53300", "too many"))).toMatchObject({
    code: "SAGAZ_CDC_UNAVAILABLE",
    details: { why: "too many", advice: expect.stringContaining("max_wal_senders") },
  });
  for (const other of [said("XX000"), new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" })])
    expect(slotError(other)).toBe(other);
});

test("that somebody else reads is no trouble of its own", () => {
  expect(isRead(said("55006"))).toBe(true);
  expect(isRead(said("42704"))).toBe(false);
  expect(isRead(new Error("cut off"))).toBe(false);
});
