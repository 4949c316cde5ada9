import type { Outcome } from "../core/decide/outcome.ts";
import { toRecordedError } from "../core/decide/outcome.ts";
import type { Task } from "../core/decide/view.ts";
import { isSagaError, SagaError } from "../core/errors.ts";
import type { JournalEntry } from "../core/saga/events.ts";
import type { Clock } from "../ports/clock.ts";
import type { AppendEntry, SagaStorage } from "../ports/storage.ts";
import type { Attempt } from "./attempt.ts";
import { judge } from "./doubt.ts";
import type { Verdict } from "./doubt.ts";

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
  /** The saga is not, or may not be, as this process holds it: it belongs to somebody else, or its tail is gone. */
  readonly refusal: SagaError | undefined;
}

/** A step's event that is about to be appended, and the entry of the journal that holds it. */
export interface Prepared {
  readonly event: JournalEntry;
  readonly entry: AppendEntry;
  readonly epoch: number;
}

/** What {@link runInTransaction} needs around the attempt. */
export interface TransactionScope {
  readonly sagaId: string;
  readonly storage: SagaStorage;
  readonly clock: Clock;
  /** Takes the saga's append turn and makes the entry with the step's event; undefined when nobody waits for it. */
  prepare(outcome: Outcome): Promise<Prepared | undefined>;
}

/**
 * Runs an attempt in the engine's own transaction: the user's writes and the step's event commit together or not at
 * all, so the step is done exactly once. The handler runs first; only then does the saga stand still, for one commit.
 */
export async function runInTransaction(attempt: Attempt, scope: TransactionScope): Promise<TransactionEnd> {
  const end: { appended: Prepared | undefined; outcome: Outcome } = {
    appended: undefined,
    outcome: ROLLED_BACK,
  };
  try {
    await scope.storage.journal.transaction(async (tx, append) => {
      const outcome = await new Promise<Outcome>((settled) => attempt.run(settled, tx));
      if (outcome.type !== "done") {
        end.outcome = asFailure(outcome);
        throw new RollBack();
      }
      const prepared = await scope.prepare(outcome);
      if (!prepared) throw new RollBack();
      await append({ epoch: prepared.epoch, entries: [prepared.entry] });
      end.appended = prepared;
    });
    return { recorded: end.appended?.event, outcome: end.outcome, refusal: undefined };
  } catch (error) {
    if (error instanceof RollBack) return { recorded: undefined, outcome: end.outcome, refusal: undefined };
    return afterError(end.appended, error, scope);
  }
}

/** A commit in doubt is looked up, never guessed. */
async function afterError(
  appended: Prepared | undefined,
  error: unknown,
  scope: TransactionScope,
): Promise<TransactionEnd> {
  const outcome: Outcome = { type: "failed", error: toRecordedError(error, "error"), final: false };
  if (!appended || !isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT"))
    return { recorded: undefined, outcome, refusal: isRefusal(error) ? error : undefined };
  const { sagaId } = scope;
  const { event } = appended;
  switch (await lookUp(appended, scope)) {
    case "written":
      return { recorded: event, outcome, refusal: undefined };
    case "not written":
      return { recorded: undefined, outcome, refusal: undefined };
    case "lost":
      return {
        recorded: undefined,
        outcome,
        refusal: new SagaError("SAGAZ_CONFLICT", { sagaId, seq: event.seq }),
      };
  }
}

function isRefusal(error: unknown): error is SagaError {
  return isSagaError(error, "SAGAZ_CONFLICT") || isSagaError(error, "SAGAZ_FENCED");
}

async function lookUp(
  { entry, epoch }: Prepared,
  { sagaId, storage, clock }: TransactionScope,
): Promise<Verdict> {
  for (;;) {
    try {
      const [tail] = await storage.journal.tails([sagaId]);
      return judge(entry, { tail, ackedSeq: entry.firstSeq - 1, epoch });
    } catch (error) {
      // Nobody here can look any more, or ever could: the saga is read anew, by us or by whoever takes it over.
      if (isSagaError(error) && !error.retryable) return "lost";
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
