import fc from "fast-check";
import pg from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import {
  boolArray,
  ColumnsWriter,
  int4Array,
  textArray,
  timeArray,
  timeValue,
  uuidArray,
} from "./binary-arrays.ts";

let client: pg.Client;
beforeAll(async () => {
  client = new pg.Client({ connectionString: inject("postgresUrl") });
  await client.connect();
});
afterAll(() => client.end());

/** What the server makes of an array, element by element. */
async function received(type: string, array: Buffer): Promise<readonly unknown[]> {
  const { rows } = await client.query<{ value: unknown }>(
    `select to_json(u.value) as value from unnest($1::${type}[]) with ordinality u(value, n) order by u.n`,
    [array],
  );
  return rows.map(({ value }) => value);
}

const column = <T>(value: fc.Arbitrary<T>) => fc.array(fc.option(value), { minLength: 1, maxLength: 20 });
const text = fc.string({ unit: "binary" }).filter((value) => !value.includes("\0"));

test("texts of any characters arrive as they are", () =>
  fc.assert(
    fc.asyncProperty(column(text), async (values) => {
      expect(await received("text", textArray(values))).toEqual(values);
    }),
  ));

test("numbers and truths arrive as they are", () =>
  fc.assert(
    fc.asyncProperty(column(fc.integer()), column(fc.boolean()), async (numbers, truths) => {
      expect(await received("int4", int4Array(numbers))).toEqual(numbers);
      expect(await received("boolean", boolArray(truths))).toEqual(truths);
    }),
  ));

test("ids arrive as they are", () =>
  fc.assert(
    fc.asyncProperty(column(fc.uuid()), async (values) => {
      expect(await received("uuid", uuidArray(values))).toEqual(values);
    }),
  ));

test("times arrive to the millisecond, also before 1970 and after 2038", () =>
  fc.assert(
    fc.asyncProperty(
      column(fc.integer({ min: Date.UTC(1900, 0), max: Date.UTC(2200, 0) })),
      async (values) => {
        const times = await received("timestamptz", timeArray(values));
        expect(times.map((time) => (typeof time === "string" ? Date.parse(time) : time))).toEqual(values);
      },
    ),
  ));

test("one time arrives to the millisecond", async () => {
  for (const ms of [0, 1, Date.UTC(1969, 11, 31), Date.UTC(2200, 0, 1, 0, 0, 0, 999)]) {
    const { rows } = await client.query("select extract(epoch from $1::timestamptz) * 1000 as ms", [
      timeValue(ms),
    ]);
    expect(Number((rows as { ms: string }[])[0]?.ms)).toBe(ms);
  }
});

test("rows arrive as columns; one without a value is null as a whole", async () => {
  await client.query(
    "create type pg_temp.columns as (id uuid[], t text[], n integer[], b boolean[], at timestamptz[])",
  );
  const row = fc.record({
    id: fc.uuid(),
    t: fc.option(text),
    n: fc.option(fc.integer()),
    b: fc.boolean(),
    at: fc.option(fc.constant(0)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 20 }), async (sent) => {
      const record = new ColumnsWriter(sent, 5)
        .uuids(({ id }) => id)
        .texts(({ t }) => t)
        .int4s(({ n }) => n)
        .bools(({ b }) => b)
        .times(({ at }) => at)
        .end();
      const { rows } = await client.query<{ value: unknown; t: unknown }>(
        `select to_json(u) as value, to_json((c).t) as t from (select $1::pg_temp.columns as c) r,
           unnest((c).id, (c).t, (c).n, (c).b, (c).at) with ordinality u(id, t, n, b, at, place) order by place`,
        [record],
      );
      expect(rows.map(({ value }) => value)).toMatchObject(
        sent.map(({ at, ...rest }) => ({ ...rest, at: at === null ? null : (expect.anything() as unknown) })),
      );
      expect(rows[0]?.t === null).toBe(sent.every(({ t }) => t === null));
    }),
  );
});

test("what does not fit is a bug, and not another number", () => {
  for (const value of [2 ** 31, -(2 ** 31) - 1, 1.5, Number.NaN])
    expect(() => int4Array([value])).toThrow(expect.objectContaining({ code: "SAGAZ_BUG" }) as Error);
  for (const ms of [Number.NaN, Number.MAX_VALUE, Number.NEGATIVE_INFINITY])
    expect(() => timeArray([ms])).toThrow(expect.objectContaining({ code: "SAGAZ_BUG" }) as Error);
});
