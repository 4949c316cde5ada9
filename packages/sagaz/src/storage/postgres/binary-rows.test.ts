import { expect, test } from "vitest";
import { BinaryRows } from "./binary-rows.ts";

/** As the server would send them. */
function toCopy(...rows: readonly (readonly (Buffer | null)[])[]): Buffer {
  const parts: Buffer[] = [Buffer.from("PGCOPY\n\xff\r\n\0", "latin1"), Buffer.alloc(8)];
  for (const row of rows) {
    parts.push(int(2, row.length));
    for (const field of row) parts.push(int(4, field?.length ?? -1), field ?? Buffer.alloc(0));
  }
  return Buffer.concat([...parts, int(2, -1)]);
}

function int(bytes: 2 | 4 | 8, value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(BigInt(value));
  return buffer.subarray(8 - bytes);
}

const text = (value: string) => Buffer.from(value);

test.each([
  [2, -32_768],
  [2, 7],
  [4, -1],
  [4, 2_147_483_647],
  [8, -1],
  [8, -4_294_967_296],
  [8, 1_795_782_470_903],
  [8, Number.MAX_SAFE_INTEGER],
] as const)("a whole number of %i bytes is read: %i", (bytes, value) => {
  const rows = new BinaryRows([toCopy([int(bytes, value)])], 1);
  expect(rows.next()).toBe(true);
  expect(rows.int()).toBe(value);
  expect(rows.next()).toBe(false);
});

test("texts are read, those that are like the row before's and those that are not", () => {
  const long = "x".repeat(100);
  const column = ["größer → 🎉", "größer → 🎉", "", "a", "b", "b", null, "b", "ab", "bb", long, long];
  const rows = new BinaryRows([toCopy(...column.map((value) => [value === null ? null : text(value)]))], 1);
  const read: (string | null)[] = [];
  while (rows.next()) read.push(rows.text());
  expect(read).toEqual(column);
});

test("a column is not taken for its neighbour", () => {
  const rows = new BinaryRows([toCopy([text("a"), text("b")], [text("b"), text("a")])], 2);
  const read: (string | null)[] = [];
  while (rows.next()) read.push(rows.text(), rows.text());
  expect(read).toEqual(["a", "b", "b", "a"]);
});

test("rows go on in the next piece, and what a piece ends with is not taken for what is there", () => {
  const all = toCopy([text("a")], [text("b")], [text("b")]);
  const rowBytes = 2 + 4 + 1;
  const cuts = [0, 19 + rowBytes, 19 + rowBytes, 19 + 2 * rowBytes, all.length - 2, all.length];
  const pieces = cuts.slice(1).map((end, n) => all.subarray(cuts[n], end));
  const rows = new BinaryRows(pieces, 1);
  const read: (string | null)[] = [];
  while (rows.next()) read.push(rows.text());
  expect(read).toEqual(["a", "b", "b"]);
});

test("bytes share the memory of the answer", () => {
  const answer = toCopy([text("{}"), null, Buffer.alloc(0)]);
  const rows = new BinaryRows([answer], 3);
  rows.next();
  const bytes = rows.bytes();
  expect(String(bytes)).toBe("{}");
  expect(bytes?.buffer).toBe(answer.buffer);
  expect(rows.bytes()).toBe(null);
  expect(rows.bytes()).toEqual(Buffer.alloc(0));
});

test("other columns than were asked for are not read", () => {
  expect(() => new BinaryRows([toCopy([text("a")])], 2).next()).toThrow("the columns that were asked for");
});

test("a whole number of another length is not read", () => {
  const rows = new BinaryRows([toCopy([text("abc")])], 1);
  rows.next();
  expect(() => rows.int()).toThrow("two, four or eight bytes");
});
