import { relative } from "node:path";
import type { TestCase, TestModule } from "vitest/node";

/** A test that did not run, and why. */
export interface Skipped {
  readonly name: string;
  readonly reason: string | undefined;
}

/** What a run of tests came to. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly Skipped[];
}

function nameOf(test: TestCase): string {
  return `${relative(process.cwd(), test.module.moduleId)} > ${test.fullName}`;
}

/**
 * Counts the tests of a finished run.
 *
 * A file that could not be loaded, or whose set-up failed before any test of its own did, counts as one failed test: trouble outside a test
 * must never look like fewer tests.
 */
export function tally(modules: readonly TestModule[]): Tally {
  const skipped: Skipped[] = [];
  let passed = 0;
  let failed = 0;
  for (const module of modules) {
    let failedHere = 0;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") passed++;
      else if (result.state === "skipped") skipped.push({ name: nameOf(test), reason: result.note });
      else failedHere++; // "pending" after the end of a run means that the run was cut off
    }
    if (failedHere === 0 && !module.ok()) failedHere = 1;
    failed += failedHere;
  }
  return { passed, failed, skipped };
}

/** The last line that `npm test` prints: `N passed, N failed, N skipped`. */
export function closingLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
}

/**
 * Everything that makes a run bad, as sentences; none when it is good.
 *
 * @param noSkips with `CI=true` nothing may be skipped, for whatever reason
 */
export function objections(result: Tally, { noSkips }: { noSkips: boolean }): string[] {
  const mute = result.skipped.filter(({ reason }) => !reason);
  return [
    ...(result.failed > 0 ? [`${result.failed} failed`] : []),
    ...(result.passed + result.failed === 0 ? ["no test ran"] : []),
    ...(mute.length > 0 ? [`${mute.length} skipped without a reason: call skip("why")`] : []),
    ...(noSkips && result.skipped.length > 0 ? ["nothing may be skipped when CI=true"] : []),
  ];
}
