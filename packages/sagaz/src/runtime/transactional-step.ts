import type { Outcome } from "../core/decide/outcome.ts";
import { toRecordedError } from "../core/decide/outcome.ts";
import type { Task } from "../core/decide/view.ts";
import { isSagaError } from "../core/errors.ts";
import type { SagaError } from "../core/errors.ts";
import type { JournalEntry } from "../core/saga/events.ts";
import type { Clock } from "../ports/clock.ts";
import type { AppendBatch, SagaStorage } from "../ports/storage.ts";
import type { Attempt } from "./attempt.ts";

/** Pause between looks whether a commit in doubt happened, in milliseconds. */
const LOOK_AGAIN_MS = 200;

/** True when the user's function is called with the engine's transaction. */
export function isTransactional({ kind, step }: Task): boolean {
  return step.kind === "action" && step.transactional && (kind === "do" || kind === "undo");
}

/** How a transactional step ended. */
export interface TransactionEnd {
  /** The event that committed together with the user's writes; undefined when nothing was written. */
  readonly recorded: JournalEntry | undefined;
  /** What to make of it when nothing was written. */
  readonly outcome: Outcome;
  /** The saga belongs to somebody else, or its journal is not what memory holds: why. */
  readonly lost: SagaError | undefined;
}

/** What {@link runInTransaction} needs around the attempt. */
export interface TransactionScope {
  readonly sagaId: string;
  readonly storage: SagaStorage;
  readonly clock: Clock;
  /** Takes the saga's append turn and makes the batch with the step's event; undefined when nobody waits for it. */
  prepare(
    outcome: Outcome,
  ): Promise<{ readonly entry: JournalEntry; readonly batch: AppendBatch } | undefined>;
}

/**
 * Runs an attempt in the engine's own transaction: the user's writes and the step's event commit together or not at
 * all, so the step is done exactly once. The handler runs first; only then does the saga stand still, for one commit.
 */
export async function runInTransaction(attempt: Attempt, scope: TransactionScope): Promise<TransactionEnd> {
  const end: { recorded: JournalEntry | undefined; outcome: Outcome } = {
    recorded: undefined,
    outcome: ROLLED_BACK,
  };
  try {
    await scope.storage.journal.transaction(async (tx, append) => {
      const outcome = await attempt.run(tx);
      if (outcome.type !== "done") {
        end.outcome = asFailure(outcome);
        throw new RollBack();
      }
      const prepared = await scope.prepare(outcome);
      if (!prepared) throw new RollBack();
      await append(prepared.batch);
      end.recorded = prepared.entry;
    });
    return { ...end, lost: undefined };
  } catch (error) {
    if (error instanceof RollBack) return { recorded: undefined, outcome: end.outcome, lost: undefined };
    return afterError(end.recorded, error, scope);
  }
}

/** A commit in doubt is looked up, never guessed. */
async function afterError(
  recorded: JournalEntry | undefined,
  error: unknown,
  scope: TransactionScope,
): Promise<TransactionEnd> {
  const outcome: Outcome = { type: "failed", error: toRecordedError(error, "error"), final: false };
  if (recorded && isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT") && (await wasRecorded(recorded.seq, scope))) {
    return { recorded, outcome, lost: undefined };
  }
  const isLost = isSagaError(error, "SAGAZ_CONFLICT") || isSagaError(error, "SAGAZ_FENCED");
  return { recorded: undefined, outcome, lost: isLost ? error : undefined };
}

async function wasRecorded(seq: number, { sagaId, storage, clock }: TransactionScope): Promise<boolean> {
  for (;;) {
    try {
      const [tail] = await storage.journal.tails([sagaId]);
      return tail !== undefined && tail.seq >= seq;
    } catch (error) {
      // Once the storage is stopped, nobody here can look any more; whoever takes the saga over does.
      if (isSagaError(error) && !error.retryable) return false;
      await new Promise<void>((resolve) => clock.setTimer(LOOK_AGAIN_MS, resolve));
    }
  }
}

/** Rolls the transaction back without being an error of anybody's. */
class RollBack extends Error {}

const ROLLED_BACK: Outcome = {
  type: "failed",
  error: {
    name: "RolledBack",
    message: "rolled back: nobody waited for this attempt any more",
    kind: "error",
  },
  final: false,
};

/** What was rolled back took no effect, whatever its handler could tell. */
function asFailure(outcome: Exclude<Outcome, { type: "done" }>): Outcome {
  if (outcome.type === "failed") return outcome;
  return { type: "failed", error: outcome.error, final: outcome.final ?? false };
}
