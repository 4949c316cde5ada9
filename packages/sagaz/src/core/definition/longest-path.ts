import type { StepDefinition } from "./definition.ts";

/** Finds the chain of dependent steps whose weights sum up highest. Expects the steps in dependency order. */
export function longestPath(
  steps: readonly StepDefinition[],
  weightOf: (step: StepDefinition) => number,
): { length: number; path: string[] } {
  const best = new Map<string, { length: number; before: string | undefined }>();
  let last: string | undefined;
  const lengthTo = (name: string | undefined): number => (name && best.get(name)?.length) || 0;
  for (const step of steps) {
    let before: string | undefined;
    for (const name of step.dependsOn)
      if (before === undefined || lengthTo(name) > lengthTo(before)) before = name;
    best.set(step.name, { length: lengthTo(before) + weightOf(step), before });
    if (last === undefined || lengthTo(step.name) > lengthTo(last)) last = step.name;
  }
  const path: string[] = [];
  for (let name = last; name !== undefined; name = best.get(name)?.before) path.unshift(name);
  return { length: lengthTo(last), path };
}
