import { expect, test } from "vitest";
import { replaceSection } from "./results.ts";

const page = "# Benchmarks\n\n## engine\n\nold\n\n## delivery\n\n### costs\n\nkept\n";

test("a section takes the place of the one with its heading, and leaves the others alone", () => {
  expect(replaceSection(page, "## engine\n\nnew\n")).toBe(
    "# Benchmarks\n\n## engine\n\nnew\n\n## delivery\n\n### costs\n\nkept\n",
  );
});

test("a section that is not there yet comes last", () => {
  expect(replaceSection("# Benchmarks\n", "## engine\n\nnew\n")).toBe("# Benchmarks\n\n## engine\n\nnew\n");
});
