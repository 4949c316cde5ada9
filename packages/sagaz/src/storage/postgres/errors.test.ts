import { describe, expect, test } from "vitest";
import { SagaError } from "../../core/errors.ts";
import { breaksConnection, lacksPartition, sqlStateOf, toSagaError } from "./errors.ts";

/** An error as `pg` throws it. */
const fromServer = (code: string, fields: Record<string, unknown> = {}) =>
  Object.assign(new Error("said the server"), { severity: "ERROR", code, ...fields });
const codes = (error: unknown) => [true, false].map((commits) => toSagaError(error, { commits }).code);

test.for([
  ["22021", "SAGAZ_STORAGE_REFUSED"], // a character that cannot be stored
  ["23502", "SAGAZ_STORAGE_REFUSED"],
  ["42501", "SAGAZ_STORAGE_REFUSED"], // rights
  ["3F000", "SAGAZ_STORAGE_REFUSED"], // no such schema
  ["54000", "SAGAZ_STORAGE_REFUSED"], // too large
  ["25006", "SAGAZ_STORAGE_READ_ONLY"],
  ["40001", "SAGAZ_STORAGE_UNAVAILABLE"],
  ["40P01", "SAGAZ_STORAGE_UNAVAILABLE"], // deadlock
  ["53100", "SAGAZ_STORAGE_UNAVAILABLE"], // disk full
  ["53300", "SAGAZ_STORAGE_UNAVAILABLE"], // too many connections
  ["55P03", "SAGAZ_STORAGE_UNAVAILABLE"], // lock timeout
  ["57014", "SAGAZ_STORAGE_UNAVAILABLE"], // statement cancelled
  ["XX000", "SAGAZ_STORAGE_UNAVAILABLE"],
] as const)("an ERROR %s is definite, whatever was going on: %s", ([state, code]) => {
  const error = fromServer(state);
  expect(codes(error)).toEqual([code, code]);
  expect(breaksConnection(error)).toBe(false);
  expect(sqlStateOf(toSagaError(error, { commits: true }))).toBe(state);
  expect(sqlStateOf(error)).toBe(state);
});

test.for([
  ["a shutdown by an administrator", fromServer("57P01", { severity: "FATAL" })],
  ["a crash of the server", fromServer("57P02", { severity: "PANIC" })],
  ["a pooler that lost its server", fromServer("08P01", { severity: "FATAL" })],
  ["a statement of which the server does not know", fromServer("40003")],
  ["a socket that was closed", Object.assign(new Error("write EPIPE"), { code: "EPIPE" })],
  ["a driver's own words", new Error("Connection terminated unexpectedly")],
  ["something that is no error", "gone"],
] as const)("in doubt after a write, unavailable after a read: %s", ([, error]) => {
  expect(codes(error)).toEqual(["SAGAZ_COMMIT_IN_DOUBT", "SAGAZ_STORAGE_UNAVAILABLE"]);
  expect(breaksConnection(error)).toBe(true);
});

describe("what our own functions raise", () => {
  const raised = (code: string, detail: object) =>
    toSagaError(fromServer(code, { detail: JSON.stringify(detail) }), { commits: true });

  test("keeps its details", () => {
    expect(raised("SZ001", { epoch: 7 })).toMatchObject({ code: "SAGAZ_FENCED", details: { epoch: 7 } });
    expect(raised("SZ002", { sagaId: "s" })).toMatchObject({
      code: "SAGAZ_CONFLICT",
      details: { sagaId: "s" },
    });
    expect(raised("SZ003", { saga: "order" })).toMatchObject({
      code: "SAGAZ_DEFINITION_CHANGED",
      details: { saga: "order" },
    });
  });

  test("is known without a detail, which a server may withhold", () => {
    expect(toSagaError(fromServer("SZ001"), { commits: true })).toMatchObject({
      code: "SAGAZ_FENCED",
      details: {},
    });
  });
});

describe("a key that exists", () => {
  const sagaId = "019b76da-a800-7000-8000-0000000014e7";
  const duplicate = (table: string | undefined, detail?: string) =>
    toSagaError(fromServer("23505", { table, detail }), { commits: true });

  test("in a journal or among sagas is a conflict, and names the saga", () => {
    const inJournal = duplicate(
      "saga_events_2026_11",
      `Key (saga_id, seq, created_at)=(${sagaId}, 3, 2026-11-01 00:00:00+00) already exists.`,
    );
    expect(inJournal).toMatchObject({ code: "SAGAZ_CONFLICT", details: { sagaId, seq: 3 } });
    const asSaga = duplicate(
      "saga_executions_2026_11",
      `Key (saga_id, created_at)=(${sagaId}, 2026-11-01 00:00:00+00) already exists.`,
    );
    expect(asSaga).toMatchObject({ code: "SAGAZ_CONFLICT", details: { sagaId, seq: 1 } });
    expect(duplicate("saga_executions_2026_11")).toMatchObject({ code: "SAGAZ_CONFLICT" });
  });

  test("elsewhere is refused data", () => {
    expect(duplicate("notes").code).toBe("SAGAZ_STORAGE_REFUSED");
    expect(duplicate(undefined).code).toBe("SAGAZ_STORAGE_REFUSED");
  });
});

test("an error of ours passes, and a failed connect says all it knows", () => {
  const own = new SagaError("SAGAZ_STOPPED", { what: "storage" });
  expect(toSagaError(own, { commits: true })).toBe(own);
  expect(sqlStateOf(own)).toBe(undefined);
  const both = new AggregateError([new Error("no route by IPv6"), new Error("refused by IPv4")]);
  expect(toSagaError(both, { commits: false }).details["message"]).toBe("no route by IPv6; refused by IPv4");
});

test.for([
  ["42501", "Grant this to the role"],
  ["3F000", "start it once"],
] as const)("%s says what to do: %s", ([state, advice]) => {
  const error = toSagaError(fromServer(state), { commits: false });
  expect(error.message).toContain(`said the server. `);
  expect(error.message).toContain(advice);
});

test("a missing partition is told from other broken rules", () => {
  const missing = Object.assign(new Error('no partition of relation "saga_events" found for row'), {
    severity: "ERROR",
    code: "23514",
  });
  expect([lacksPartition(missing), lacksPartition(toSagaError(missing, { commits: true }))]).toEqual([
    true,
    true,
  ]);
  expect([lacksPartition(fromServer("23514")), lacksPartition(new Error("no partition"))]).toEqual([
    false,
    false,
  ]);
});
