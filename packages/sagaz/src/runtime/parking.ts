import { toRecordedError } from "../core/decide/outcome.ts";
import { fold } from "../core/saga/evolve.ts";
import type { JournalEntry, ParkReason } from "../core/saga/events.ts";
import type { SagaState } from "../core/saga/state.ts";
import type { AppendEntry, ClaimedSaga, RowChange } from "../ports/storage.ts";
import { fromStored, toEventRow, toRowChange } from "./entry.ts";
import { emptyEntry } from "./recording.ts";

/** Makes the entry that parks a claimed saga without running it, and gives it up until a person asks for it. */
export function toParkingEntry(
  saga: ClaimedSaga,
  { reason, detail, at }: { readonly reason: ParkReason; readonly detail: string; readonly at: number },
): AppendEntry {
  const seq = saga.journal.length + 1;
  // The write that parks it resets the count of adoptions, so what that tells has to be in the event.
  const crashed = saga.adoptions > 0 ? ({ crashed: true } as const) : {};
  const entry: JournalEntry = { type: "saga_parked", data: { reason, detail, ...crashed }, seq, at };
  const row: RowChange = {
    ...rowAfter(saga, entry),
    waitingFor: "operator",
    release: { wakeAt: null, mailSeq: readsMailNow(reason) ? 0 : saga.mailSeq },
  };
  return { ...emptyEntry(saga.sagaId, seq), events: [toEventRow(entry)], row };
}

/**
 * Whoever parks a saga without running it has not looked at its mail. A worker can do that for one in a crash loop, and
 * is to claim it for that; the others wait until somebody can.
 */
function readsMailNow(reason: ParkReason): boolean {
  return reason === "crash_loop";
}

/** A journal that does not fold is what some sagas are parked for; their row says so all the same. */
function rowAfter({ sagaId, journal }: ClaimedSaga, entry: JournalEntry): RowChange {
  try {
    const state = fold(sagaId, [...journal.map(fromStored), entry]);
    return toRowChange(state, { waitingFor: null, release: undefined });
  } catch (error) {
    return {
      status: "parked",
      parkedReason: "stuck",
      paused: false,
      error: toRecordedError(error, "error").message,
      output: null,
      finished: false,
      waitingFor: null,
      release: undefined,
    };
  }
}

/** Makes the entry that gives a claimed saga back unchanged, not to be claimed before `wakeAt`. */
export function toGiveBackEntry(
  saga: ClaimedSaga & { readonly state: SagaState },
  wakeAt: number,
): AppendEntry {
  const { state } = saga;
  const row = toRowChange(state, { waitingFor: "retry", release: { wakeAt, mailSeq: saga.mailSeq } });
  return { ...emptyEntry(saga.sagaId, saga.journal.length + 1), row };
}
