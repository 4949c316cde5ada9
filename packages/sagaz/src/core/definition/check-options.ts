import { isUrl, toShown, whyNoUrl } from "../delivery/url-topic.ts";
import { SagaError } from "../errors.ts";
import { describe } from "./describe.ts";
import type { SagaDraft, StepDraft } from "./draft.ts";
import { LIMITS } from "./policies.ts";
import type { RetryPolicy } from "./policies.ts";
import { didYouMean } from "./suggest.ts";

/** An option as an author wrote it, and where. */
interface Written {
  readonly where: string;
  readonly option: string;
  readonly value: unknown;
}

interface Range {
  readonly min: number;
  readonly max: number;
  readonly integer?: true;
}

const ATTEMPT: Range = { min: 1, max: LIMITS.attemptTimeoutMsMax };
const WAIT_IN_MEMORY: Range = { min: 0, max: LIMITS.attemptTimeoutMsMax };
const DURATION: Range = { min: 1, max: LIMITS.durationMsMax };
const DELAY: Range = { min: 0, max: LIMITS.durationMsMax };
const COUNT: Range = { min: 1, max: Number.MAX_SAFE_INTEGER, integer: true };

/**
 * Refuses options that no one reads, such as a misspelt one: it would be silently without effect.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`, with the nearest known name.
 */
export function checkOptionNames(where: string, options: object, known: readonly string[]): void {
  for (const [option, value] of Object.entries(options)) {
    if (known.includes(option)) continue;
    throw invalid({ where, option, value }, "there is no such option", didYouMean(option, known));
  }
}

/** @throws SagaError `SAGAZ_INVALID_OPTION` for an option of the saga as a whole that is out of bounds. */
export function checkSagaOptions({ name, options, input, output }: SagaDraft): void {
  const where = `saga "${name}"`;
  const at = (option: string, value: unknown): Written => ({ where, option, value });
  checkNumber(at("version", options.version), { min: 1, max: LIMITS.versionMax, integer: true });
  checkWord(at("strategy", options.strategy), ["FAIL_FAST", "WAIT_ALL", "FAIL_FAST_WITH_GRACE"]);
  checkNumber(at("graceMs", options.graceMs), WAIT_IN_MEMORY);
  checkNumber(at("settleMs", options.settleMs), WAIT_IN_MEMORY);
  checkNumber(at("timeoutMs", options.timeoutMs), DURATION);
  checkFlag(at("sequential", options.sequential));
  checkNumber(at("inFlightMax", options.inFlightMax), COUNT);
  checkRetry(where, options.retry);
  checkSchema(at("input", input));
  if (output !== undefined) checkFunction(at("output", output));
}

/** @throws SagaError `SAGAZ_INVALID_OPTION` for an option of a step that is out of bounds or makes no sense there. */
export function checkStepOptions(step: StepDraft, saga: string): void {
  const where = `step "${step.name}" of "${saga}"`;
  const { options } = step;
  const at = (option: string, value: unknown): Written => ({ where, option, value });
  checkNumber(at("timeoutMs", options.timeoutMs), ATTEMPT);
  checkNumber(at("stepTimeoutMs", options.stepTimeoutMs), DURATION);
  checkWord(at("onUnknown", options.onUnknown), ["rerun", "undo", "park"]);
  checkRetry(where, options.retry);
  checkSchema(at("result", options.result));
  checkWork(step, where);
  checkUndo(step, `the compensation of ${where}`);
  if (options.onUnknown === "undo" && !step.undo) {
    const rule = step.pivot ? "a pivot is never undone" : "the step has no compensation";
    throw invalid(at("onUnknown", "undo"), `${rule}: use "rerun" or "park"`);
  }
  if (step.pivot && step.work.kind !== "action" && step.work.kind !== "command") {
    const rule = `only an action or a command is made a pivot, and this is a ${step.work.kind} step`;
    throw invalid(at("pivot", true), rule);
  }
}

function checkWork({ work }: StepDraft, where: string): void {
  const at = (option: string, value: unknown): Written => ({ where, option, value });
  switch (work.kind) {
    case "action":
      checkFlag(at("transactional", work.transactional));
      checkDo(work, at);
      break;
    case "command":
      checkTopic(at("topic", work.topic));
      checkFunction(at("payload", work.payload));
      checkNumber(at("replyTimeoutMs", work.replyTimeoutMs), DURATION);
      checkNumber(at("waitMs", work.waitMs), DURATION);
      if (work.verify !== undefined) checkFunction(at("verify", work.verify));
      break;
    case "map":
      checkFunction(at("over", work.over));
      checkNumber(at("concurrency", work.concurrency), { ...COUNT, max: LIMITS.mapItemsMax });
      checkDo(work, at);
      break;
    case "signal":
      checkNumber(at("waitMs", work.waitMs), DURATION);
      break;
    case "sleep":
      checkForMs(at("forMs", work.forMs));
      break;
    case "child":
      checkFunction(at("input", work.input));
  }
}

function checkDo(
  work: { readonly do: unknown; readonly verify?: unknown },
  at: (option: string, value: unknown) => Written,
): void {
  checkFunction(at("the action", work.do));
  if (work.verify !== undefined) checkFunction(at("verify", work.verify));
}

function checkTopic(written: Written): void {
  const { value } = written;
  if (typeof value === "string" && isUrl(value)) {
    const why = whyNoUrl(value);
    if (why === undefined) return;
    throw invalid({ ...written, value: toShown(value) }, why);
  }
  if (typeof value === "string" && /^[\w.-]{1,200}$/.test(value)) return;
  throw invalid(
    written,
    "use 1 to 200 characters out of a-z A-Z 0-9 . _ -, which every broker takes, or a URL",
  );
}

function checkForMs(written: Written): void {
  if (typeof written.value === "function") return;
  if (written.value === undefined)
    throw invalid(written, "it must be a number of milliseconds or a function");
  checkNumber(written, DELAY);
}

function checkUndo({ undo }: StepDraft, where: string): void {
  if (!undo) return;
  checkFunction({ where, option: "the function", value: undo.run });
  checkWord({ where, option: "onExhausted", value: undo.options.onExhausted }, ["park", "continue"]);
  checkRetry(where, undo.options.retry);
}

function checkRetry(where: string, retry: Partial<RetryPolicy> | undefined): void {
  if (retry === undefined) return;
  if (typeof retry !== "object" || retry === null) {
    throw invalid(
      { where, option: "retry", value: retry },
      "it must be an object such as { maxAttempts: 5 }",
    );
  }
  checkOptionNames(where, prefixed(retry), RETRY_OPTIONS);
  const at = (option: keyof RetryPolicy): Written => ({
    where,
    option: `retry.${option}`,
    value: retry[option],
  });
  if (retry.maxAttempts !== Number.POSITIVE_INFINITY) checkNumber(at("maxAttempts"), COUNT);
  else if (retry.forMs === undefined)
    throw invalid(at("maxAttempts"), "set retry.forMs too, to bound the time");
  checkNumber(at("initialMs"), DELAY);
  checkNumber(at("factor"), { min: 1, max: 1_000 });
  checkNumber(at("maxMs"), DELAY);
  checkNumber(at("forMs"), DURATION);
  checkWord(at("jitter"), ["full", "none"]);
  if (retry.when !== undefined) checkFunction(at("when"));
}

const RETRY_OPTIONS = ["maxAttempts", "initialMs", "factor", "maxMs", "jitter", "forMs", "when"].map(
  (option) => `retry.${option}`,
);

function prefixed(retry: Partial<RetryPolicy>): object {
  return Object.fromEntries(Object.entries(retry).map(([option, value]) => [`retry.${option}`, value]));
}

function checkNumber(written: Written, { min, max, integer }: Range): void {
  const { value } = written;
  if (value === undefined) return;
  const fits = typeof value === "number" && value >= min && value <= max; // NaN does not
  if (fits && (!integer || Number.isInteger(value))) return;
  throw invalid(written, `it must be ${integer ? "an integer" : "a number"} from ${min} to ${max}`);
}

function checkWord(written: Written, words: readonly string[]): void {
  const { value } = written;
  if (value === undefined || words.includes(value as string)) return;
  const listed = words.map((word) => `"${word}"`).join(", ");
  throw invalid(
    written,
    `it must be one of ${listed}`,
    typeof value === "string" ? didYouMean(value, words) : "",
  );
}

function checkFlag(written: Written): void {
  if (written.value === undefined || typeof written.value === "boolean") return;
  throw invalid(written, "it must be true or false");
}

function checkFunction(written: Written): void {
  if (typeof written.value !== "function") throw invalid(written, "it must be a function");
}

function checkSchema(written: Written): void {
  const { value } = written;
  if (value === undefined) return;
  const standard = (value as Partial<Record<string, { validate?: unknown }>> | null)?.["~standard"];
  if (typeof standard?.validate === "function") return;
  throw invalid(written, "it must be a Standard Schema, such as one of zod, valibot or arktype");
}

function invalid({ where, option, value }: Written, rule: string, hint = ""): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where, option, value: describe(value), rule, hint });
}
