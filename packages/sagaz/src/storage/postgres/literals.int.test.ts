import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { toArrayText, withLiterals } from "./literals.ts";

const texts = [
  "",
  "plain",
  "'; drop table x; --",
  "E'\\x'",
  "$",
  "$$",
  "$1",
  "a$sagaz$b",
  "ends in $sagaz",
  "ends in $sagaz$",
  "ends in $sagaz1 and has $sagaz$, $sagaz",
  "$sagaz$sagaz1$sagaz",
  "$sagaz$sagaz1$sagaz1",
  '"{},\\',
  "null",
  "NULL",
  "line\nbreak, größe, 😀",
];

test("texts of whatever kind come back from the text of a statement as they were", async () => {
  const client = new pg.Client({ connectionString: inject("postgresUrl") });
  await client.connect();
  onTestFinished(() => client.end());
  for (const conforming of ["on", "off"]) {
    await client.query(`set standard_conforming_strings = ${conforming}`);
    for (const first of texts)
      for (const second of texts) {
        const text = withLiterals("select $1::text as a, $2::text as b, $3::text[] as c, $4::int as d", [
          first,
          second,
          toArrayText([first, null, second]),
          7,
        ]);
        const { rows } = await client.query(text);
        expect(rows).toEqual([{ a: first, b: second, c: [first, null, second], d: 7 }]);
      }
  }
});
