import type { SagaDefinition, StepDefinition } from "./definition.ts";

/**
 * Fingerprints everything that decides what may run when: 16 hex digits.
 *
 * Two definitions with one hash can run each other's sagas. So names, kinds, edges, roles and the policies that change
 * which step comes next count; functions, time-outs, retries, limits and the order of writing do not. Not cryptographic: it
 * finds a forgotten version, not an attacker.
 */
export function hashGraph(definition: Pick<SagaDefinition, "name" | "steps">): string {
  const steps = definition.steps.map((step) => JSON.stringify(essentials(step))).sort();
  return fnv1a64(JSON.stringify([definition.name, ...steps]));
}

/** What of a step counts, in a fixed order. */
function essentials(step: StepDefinition): readonly unknown[] {
  return [
    step.name,
    step.kind,
    step.role,
    [...step.dependsOn].sort(),
    [...step.undoAfter].sort(),
    step.onUnknown,
    step.onExhausted,
    ...essentialsOfKind(step),
  ];
}

function essentialsOfKind(step: StepDefinition): readonly unknown[] {
  switch (step.kind) {
    case "action":
      return [step.undo !== undefined, step.verify !== undefined, step.transactional];
    case "map":
      return [step.undo !== undefined, step.verify !== undefined];
    case "command":
      return [step.undo !== undefined, step.verify !== undefined, step.topic, step.command];
    case "signal":
      return [step.signal];
    case "sleep":
      return [];
    case "child":
      return [step.child.name, step.child.version, step.child.graphHash];
  }
}

/**
 * FNV-1a, 64 bits (Fowler, Noll & Vo; RFC 9923), in two 32-bit halves: several times faster than BigInt. The text is ASCII,
 * because names are.
 */
function fnv1a64(text: string): string {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (let i = 0; i < text.length; i++) {
    low = (low ^ text.charCodeAt(i)) >>> 0;
    const product = low * 0x1b3; // the prime is 2^40 + 0x1b3; below 2^53, so exact
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}
