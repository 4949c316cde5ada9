import { join } from "node:path";
import { expect, test } from "vitest";
import { ProgramFolder } from "../../tests/docs/program-folder.ts";

/** What a check at the end of the demo says: that it found nothing wrong, and how much it looked at. */
function listChecks(output: string): { readonly looked: number }[] {
  return [...output.matchAll(/^ {2}ok {4}.*\((\d+) \w+\)$/gm)].map((match) => ({ looked: Number(match[1]) }));
}

test("the demo kills a worker with sagas in flight, and its books add up; twice in a row", async () => {
  await using folder = new ProgramFolder();
  const main = join(import.meta.dirname, "main.ts");
  for (const run of [1, 2]) {
    const { output, status } = await folder.run(main);
    expect(status, output).toBe(0);
    expect(output).toContain("Everything adds up.");
    expect(Number(/kill -9 \d+, with (\d+) sagas in flight/.exec(output)?.[1])).toBeGreaterThan(0);
    const checks = listChecks(output);
    expect(checks).toHaveLength(4);
    expect(checks.filter(({ looked }) => looked === 0)).toEqual([]);
    expect(output).toContain(`Reconciliation of ${48 * run} orders`);
    for (const word of ["completed", "undone", "parked"]) expect(output).toContain(word);
  }
});
