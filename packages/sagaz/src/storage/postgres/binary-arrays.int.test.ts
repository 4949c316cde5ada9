import fc from "fast-check";
import pg from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { boolArray, int4Array, textArray, timeArray, uuidArray } from "./binary-arrays.ts";

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
