import { AssertionError, deepStrictEqual } from "node:assert";
import type { SagaDefinition } from "../core/definition/definition.ts";
import type { JournalEntry, ParkReason, UnwindCause } from "../core/saga/events.ts";
import { fromKey } from "../core/saga/state.ts";
import type { SagaStatus } from "../core/saga/status.ts";
import type { SagaView } from "../runtime/saga-view.ts";

/** What a test expects. Only what is named is checked. */
export interface Expected<Output = unknown> {
  readonly status?: SagaStatus;
  /** Exactly the steps that are still done, in any order. */
  readonly done?: readonly string[];
  /** Exactly the steps (or items, `ship[2]`) that were undone, listed in an order that the saga allows. */
  readonly undone?: readonly string[];
  /** The step whose failure sent the saga back. */
  readonly failedAt?: string;
  /** The message of that failure. */
  readonly failure?: string | RegExp;
  readonly parked?: ParkReason;
  /** Steps that are not undone although the saga ended. */
  readonly exceptions?: readonly string[];
  readonly output?: Output;
  /** Calls of a step's action, by step. */
  readonly attempts?: Readonly<Record<string, number>>;
}

/** How a saga went in a test. */
export interface Story<Output = unknown> {
  readonly saga: SagaView;
  readonly output: Output | undefined;
  readonly events: readonly JournalEntry[];
  /** Calls in the order in which they began: `reserve`, `undo reserve`, `verify charge`, `ship[2]`. */
  readonly calls: readonly string[];
  /** Milliseconds of the fake clock from start to end. */
  readonly tookMs: number;
}

interface Difference {
  readonly what: string;
  readonly expected: unknown;
  readonly actual: unknown;
}

/** @throws AssertionError that lists all differences at once, and tells what happened. */
export function checkExpected(
  definition: SagaDefinition,
  { story, expected }: { readonly story: Story; readonly expected: Expected },
): void {
  const differences = compare(definition, { story, expected });
  if (differences.length === 0) return;
  const lines = differences.map(
    ({ what, expected: wanted, actual }) => `  ${what}: expected ${show(wanted)}, was ${show(actual)}`,
  );
  throw new AssertionError({
    message: [
      `"${definition.name}" went differently:`,
      ...lines,
      "What happened:",
      ...story.events.map((event) => `  ${tell(event)}`),
    ].join("\n"),
    expected: Object.fromEntries(differences.map(({ what, expected: wanted }) => [what, wanted])),
    actual: Object.fromEntries(differences.map(({ what, actual }) => [what, actual])),
    operator: "given",
  });
}

function compare(
  definition: SagaDefinition,
  { story, expected }: { readonly story: Story; readonly expected: Expected },
): Difference[] {
  const actual = toActual(story, Object.keys(expected.attempts ?? {}));
  return Object.entries(expected).flatMap(([what, wanted]): Difference[] => {
    if (!(what in actual))
      throw new TypeError(`expect() knows no "${what}"; it knows ${Object.keys(actual).join(", ")}`);
    const was: unknown = actual[what as keyof Expected];
    const isMet = fits(definition, { what: what as keyof Expected, wanted, was });
    return isMet ? [] : [{ what, expected: wanted, actual: was }];
  });
}

function toActual(
  { saga, output, events, calls }: Story,
  counted: readonly string[],
): Required<Record<keyof Expected, unknown>> {
  const undone = events.flatMap((event) => (event.type === "step_compensated" ? [event.step] : []));
  const countOf = (step: string) => calls.filter((call) => call === step).length;
  return {
    status: saga.status,
    done: saga.steps.flatMap(({ step, status }) => (status === "done" ? [step] : [])),
    undone,
    failedAt: saga.failure?.kind === "step" ? saga.failure.step : undefined,
    failure: messageOf(saga.failure),
    parked: saga.parked?.reason,
    exceptions: saga.exceptions,
    output,
    attempts: Object.fromEntries(counted.map((step) => [step, countOf(step)])),
  };
}

function messageOf(failure: UnwindCause | undefined): string | undefined {
  switch (failure?.kind) {
    case "step":
      return failure.error.message;
    case "timeout":
      return "the saga timed out";
    case "cancel":
      return failure.reason;
    case undefined:
      return undefined;
  }
}

function fits(
  definition: SagaDefinition,
  { what, wanted, was }: { readonly what: keyof Expected; readonly wanted: unknown; readonly was: unknown },
): boolean {
  if (wanted instanceof RegExp) return typeof was === "string" && wanted.test(was);
  if (what === "done" || what === "exceptions") return isSameSet(wanted as string[], was as string[]);
  if (what === "undone")
    return isSameSet(wanted as string[], was as string[]) && isAllowedOrder(definition, wanted as string[]);
  return isEqual(wanted, was);
}

/** What runs in parallel ends in an order of its own; only what the saga orders has to be listed in that order. */
function isAllowedOrder({ graph }: SagaDefinition, keys: readonly string[]): boolean {
  const names = keys.map((key) => fromKey(key).name);
  return names.every(
    (name, i) => !names.slice(0, i).some((earlier) => graph.undoneBefore.get(earlier)?.has(name)),
  );
}

function isSameSet(wanted: readonly string[], was: readonly string[]): boolean {
  return isEqual([...wanted].sort(), [...was].sort());
}

function isEqual(wanted: unknown, was: unknown): boolean {
  try {
    deepStrictEqual(was, wanted);
    return true;
  } catch {
    return false;
  }
}

function show(value: unknown): string {
  return value instanceof RegExp ? String(value) : (JSON.stringify(value) ?? "nothing");
}

/** One line of the history, for people. */
function tell(event: JournalEntry): string {
  const place = "step" in event ? ` ${event.step}` : "";
  const { data } = event;
  const error = "error" in data ? `: ${data.error.message}` : "";
  const reason = "reason" in data ? `: ${data.reason}` : "";
  return `${event.seq}. ${event.type}${place}${error}${reason}`;
}
