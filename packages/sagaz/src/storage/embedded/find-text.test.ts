import { expect, test } from "vitest";
import { findText } from "./find-text.ts";

test("a missing file is undefined; whatever else goes wrong is an error", async () => {
  expect(await findText(import.meta.filename)).toContain("findText");
  expect(await findText(`${import.meta.filename}.missing`)).toBeUndefined();
  await expect(findText(import.meta.dirname)).rejects.toThrow(/EISDIR/);
});
