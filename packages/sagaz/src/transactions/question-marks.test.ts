import { expect, test } from "vitest";
import { throwWithoutStatement, toQuestionMarks } from "./question-marks.ts";

test("every place gets its value, as often as it is named, and in the order of the text", () => {
  const params = Array.from({ length: 12 }, (_, n) => n + 1);
  expect(toQuestionMarks("$12 $1 $1::text ($2)", params)).toEqual({
    sql: "? ? ?::text (?)",
    values: [12, 1, 1, 2],
  });
});

test("question marks of the statement are escaped, and other dollars are left", () => {
  expect(toQuestionMarks("a ? 'b?' $x$ $$ $1", ["c"])).toEqual({
    sql: "a \\? 'b\\?' $x$ $$ ?",
    values: ["c"],
  });
});

const thrown = (error: unknown, sql: string): unknown => {
  try {
    return throwWithoutStatement(error, sql);
  } catch (error_) {
    return error_;
  }
};

test("the statement is cut off before what the server said, whatever stands for its values", () => {
  const sql = "insert into t values ($1, $2) returning id";
  for (const values of ["($1, $2)", "('a - b) returning id', 'c')"]) {
    const error = new Error(`insert into t values ${values} returning id - no - room`);
    expect(thrown(error, sql)).toBe(error);
    expect(error.message).toBe("no - room");
  }
});

test("an error without the statement is thrown as it is", () => {
  const error = new Error("connection lost");
  expect(thrown(error, "select $1")).toBe(error);
  expect(error.message).toBe("connection lost");
  expect(thrown("a text", "select $1")).toBe("a text");
});
