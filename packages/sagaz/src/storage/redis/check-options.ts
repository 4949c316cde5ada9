import { SagaError } from "../../core/errors.ts";
import type { ReplicasWanted } from "./replicas.ts";

/** What there is to check; each as the storage's options say. */
interface Checked {
  readonly name?: string;
  readonly answerTimeoutMs?: number;
  readonly replicas?: ReplicasWanted;
  readonly endedKeptDays?: number;
}

/**
 * Refuses options that would do harm later.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function checkOptions({
  name = "sagaz",
  answerTimeoutMs = 10_000,
  replicas,
  endedKeptDays = 1,
}: Checked): void {
  // What is between the braces tells a cluster where a key belongs: only what needs no care is taken.
  if (!/^[a-z0-9_-]{1,50}$/.test(name))
    throw invalid("name", JSON.stringify(name), "it must be 1 to 50 characters out of a-z, 0-9, _ and -");
  checkWhole("answerTimeoutMs", answerTimeoutMs);
  checkWhole("endedKeptDays", endedKeptDays);
  if (!replicas) return;
  checkWhole("replicas.min", replicas.min);
  // 0 would wait for ever, and whoever waits longer than for an answer loses the connection each time.
  checkWhole("replicas.timeoutMs", replicas.timeoutMs, answerTimeoutMs - 1);
}

function checkWhole(option: string, value: number, most = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
  const upTo = most === Number.MAX_SAFE_INTEGER ? "1 or more" : `1 to ${most}`;
  throw invalid(option, String(value), `it must be a whole number, ${upTo}`);
}

function invalid(option: string, value: string, rule: string): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "RedisStorage", option, value, rule });
}
