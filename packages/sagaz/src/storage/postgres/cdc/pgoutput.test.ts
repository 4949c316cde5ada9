import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PgOutput } from "./pgoutput.ts";
import { RowReader } from "./row-reader.ts";

/** What PostgreSQL 15 sent for one transaction of two rows in a partitioned table. */
const recorded = [
  "420000000001531d800003043aff6652b8000002d7",
  "52000040007075626c696300736167615f6f7574626f78006400030169640000000014ffffffff01617400000004a0ffffffff006e6f74650000000019ffffffff",
  "52000040057075626c69630070617274006400030169640000000014ffffffff01617400000004a0ffffffff006e6f74650000000019ffffffff",
  "49000040004e0003740000000131740000001d323032362d31312d32372030353a35343a31312e3132333435362b3030740000000a6e61c3af766520e282ac",
  "49000040004e00037400000001327400000016323032362d31312d32372030353a35343a31322b30306e",
  "43000000000001531d800000000001531db00003043aff6652b8",
].map((hex) => Buffer.from(hex, "hex"));

const uint16 = (n: number) => Buffer.from([n >> 8, n & 255]);
const uint32 = (n: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
};
const text = (value: string) => Buffer.from(`${value}\0`);

function relation(id: number, name: string, columns: readonly string[]): Buffer {
  const described = columns.map((column) =>
    Buffer.concat([Buffer.from([0]), text(column), uint32(25), uint32(0xffffffff)]),
  );
  return Buffer.concat([
    Buffer.from("R"),
    uint32(id),
    text("sagaz"),
    text(name),
    Buffer.from("d"),
    uint16(columns.length),
    ...described,
  ]);
}

function insert(id: number, values: readonly (string | null)[]): Buffer {
  const encoded = values.map((value) => {
    if (value === null) return Buffer.from("n");
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from("t"), uint32(bytes.length), bytes]);
  });
  return Buffer.concat([Buffer.from("I"), uint32(id), Buffer.from("N"), uint16(values.length), ...encoded]);
}

describe("messages of pgoutput", () => {
  test("as a server has sent them", () => {
    const output = new PgOutput();
    const table = { name: "saga_outbox", columns: ["id", "at", "note"] };
    expect(recorded.map((message) => output.read(message))).toEqual([
      { kind: "begin", commitLsn: 0x1531d80n, xid: 0x2d7 },
      undefined,
      undefined,
      { kind: "insert", relation: table, values: ["1", "2026-11-27 05:54:11.123456+00", "naïve €"] },
      { kind: "insert", relation: table, values: ["2", "2026-11-27 05:54:12+00", null] },
      { kind: "commit", endLsn: 0x1531db0n },
    ]);
  });

  test("any rows of any tables come back as they were, wherever in a buffer they begin", () => {
    const name = fc.string({ minLength: 1, unit: "grapheme" }).filter((it) => !it.includes("\0"));
    const value = fc.option(fc.string({ unit: "grapheme" }), { nil: null });
    const rows = fc.array(fc.array(value, { minLength: 1, maxLength: 20 }), { maxLength: 10 });
    fc.assert(
      fc.property(fc.nat(0xffffff), name, rows, fc.nat(40), (id, table, all, before) => {
        const output = new PgOutput();
        for (const values of all) {
          const columns = values.map((_, n) => `${table}${n}`);
          output.read(relation(id, table, columns));
          const message = Buffer.concat([Buffer.alloc(before, 0x49), insert(id, values)]);
          const change = output.read(message, before);
          // What is not well-formed is not stored either.
          const stored = values.map((it) => (it === null ? null : Buffer.from(it).toString()));
          expect(change).toEqual({ kind: "insert", relation: { name: table, columns }, values: stored });
        }
      }),
    );
  });

  test("places beyond what a number can hold are kept whole", () => {
    const begin = Buffer.alloc(21);
    begin[0] = 0x42;
    begin.writeBigUInt64BE(0xfedcba9876543210n, 1);
    begin.writeUInt32BE(0xffffffff, 17);
    const expected = { kind: "begin", commitLsn: 0xfedcba9876543210n, xid: 0xffffffff };
    expect(new PgOutput().read(begin)).toEqual(expected);
  });

  test("other kinds are passed over, and what is cut off, unknown or out of place is a bug", () => {
    const output = new PgOutput();
    for (const kind of "OYTUDM") expect(output.read(Buffer.from(`${kind} whatever`))).toBeUndefined();
    output.read(relation(1, "t", ["a"]));
    const row = insert(1, ["a text"]);
    for (let end = 0; end < row.length; end++) expect(() => output.read(row.subarray(0, end))).toThrow();
    expect(() => output.read(Buffer.from("?"))).toThrow("SAGAZ_BUG");
    expect(() => output.read(insert(2, ["a"]))).toThrow("described before");
    expect(() => output.read(Buffer.concat([row.subarray(0, 5), Buffer.from("K")]))).toThrow("new row");
    expect(() => output.read(relation(3, "t", ["a"]).subarray(0, 8))).toThrow();
  });
});

describe("rows of the outbox", () => {
  const full = {
    payload_bytes: null,
    payload: '{"a":1}',
    unknown: "to us",
    id: "9007199254740991",
    created_at: "2026-11-27 05:54:11.129+00",
    event_id: "e",
    topic: "t",
    partition_key: "k",
    event_type: "type",
    source: "s",
    aggregate_id: "a",
    correlation_id: null,
    saga_id: null,
    traceparent: null,
    headers: "{}",
  };
  const read = (row: Record<string, string | null>) =>
    new RowReader().read({ name: "saga_outbox", columns: Object.keys(row) }, Object.values(row), 7);

  test("become events, in whatever order the columns are", () => {
    expect(read(full)).toEqual({
      position: 7,
      id: 9007199254740991,
      createdAt: Date.UTC(2026, 10, 27, 5, 54, 11, 129),
      attempts: 0,
      waitMs: 0,
      shard: expect.any(Number) as number,
      eventId: "e",
      topic: "t",
      key: "k",
      type: "type",
      source: "s",
      aggregateType: null,
      aggregateId: "a",
      correlationId: null,
      sagaId: null,
      traceparent: null,
      headers: "{}",
      payload: '{"a":1}',
    });
  });

  test("have bytes, and times with whatever fraction", () => {
    const bytes = read({ ...full, payload: null, payload_bytes: String.raw`\x00ff10` });
    expect(bytes.payload).toEqual(Buffer.from([0, 255, 16]));
    const at = (created_at: string) => read({ ...full, created_at }).createdAt % 1_000;
    expect(at("2026-11-27 05:54:11+00")).toBe(0);
    expect(at("2026-11-27 05:54:11.5+00")).toBe(500);
    expect(at("2026-11-27 05:54:11.123999+00")).toBe(123);
    expect(() => at("27.11.2026 05:54")).toThrow("in UTC");
    const { topic: _, ...poor } = full;
    expect(() => read(poor)).toThrow("all columns");
  });
});
