import type { SagaDefinition } from "../core/definition/definition.ts";
import { LIMITS } from "../core/definition/policies.ts";
import { fold } from "../core/saga/evolve.ts";
import type { JournalEntry, ParkReason } from "../core/saga/events.ts";
import type { SagaState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { Log } from "../ports/log.ts";
import type { AppendEntry, ClaimedSaga } from "../ports/storage.ts";
import { fromStored } from "./entry.ts";
import type { NewSaga } from "./entry.ts";
import type { Written } from "./journal-writer.ts";
import { toGiveBackEntry, toParkingEntry } from "./parking.ts";
import type { Registry } from "./registry.ts";
import type { MailState } from "./runner-host.ts";
import type { SagaRunner } from "./saga-runner.ts";
import type { Solitary } from "./solitary.ts";

/** A saga whose workers keep dying is looked at again after this long when another such saga is being tried. */
const ALONE_RETRY_MS = 2_000;

/** An ended saga with mail, whose definition nobody holds, is looked at again after this long. */
const MISSING_RETRY_MS = 30_000;
const NOBODY_HOLDS_IT = "no live worker holds its definition";

/** A saga as it comes into memory. */
export interface Loaded {
  readonly state: SagaState;
  readonly ackedSeq: number;
  readonly mail: MailState;
}

const NO_MAIL: MailState = { seq: 0, fetched: true };

/** A saga that this process has just started: nobody has written to it yet. */
export function toLoaded(
  { started, row }: NewSaga,
  { ackedSeq, at }: { readonly ackedSeq: number; readonly at: number },
): Loaded {
  const event: JournalEntry = { type: "saga_started", data: started, seq: 1, at };
  return { state: fold(row.sagaId, [event]), ackedSeq, mail: NO_MAIL };
}

/** A claimed saga whose journal could be read. */
interface ReadSaga extends ClaimedSaga {
  readonly state: SagaState;
}

/** What {@link Arrivals} needs of its worker. */
export interface ArrivalsParts {
  readonly registry: Registry;
  readonly log: Log;
  readonly solitary: Solitary;
  readonly now: () => number;
  readonly run: (definition: SagaDefinition, loaded: Loaded) => SagaRunner;
  readonly submit: (entry: AppendEntry, written: Written) => void;
  /** That a saga was given up without being run is on record. */
  readonly onGivenUp: (sagaId: string) => void;
}

/** Decides what to do with a saga that was claimed: run it, run it alone, or park it. */
export class Arrivals {
  readonly #parts: ArrivalsParts;
  readonly #leaving = new Set<string>();

  constructor(parts: ArrivalsParts) {
    this.#parts = parts;
  }

  /** Sagas that are given up without being run, while the write of that is under way. */
  get leaving(): Iterable<string> {
    return this.#leaving;
  }

  /** Takes in a claimed saga. */
  take(saga: ClaimedSaga): void {
    const { adoptions } = saga;
    const state = this.#read(saga);
    if (!state) return;
    // One that has ended runs nothing of the user's: it answers its mail, kills nobody, and cannot be parked.
    if (adoptions < LIMITS.adoptionsBeforeAlone || isEnded(state.status)) this.#resume({ ...saga, state });
    else if (adoptions < LIMITS.adoptionsMax) this.#takeAlone({ ...saga, state });
    else this.park(saga, { reason: "crash_loop", detail: `${adoptions} workers died with it` });
  }

  /** A journal that cannot be read stops this saga alone. */
  #read(saga: ClaimedSaga): SagaState | undefined {
    try {
      return fold(saga.sagaId, saga.journal.map(fromStored));
    } catch (error) {
      this.park(saga, { reason: "stuck", detail: String(error) });
      return undefined;
    }
  }

  #takeAlone(saga: ReadSaga): void {
    const { solitary, now } = this.#parts;
    if (solitary.isOn) return this.#giveUp(toGiveBackEntry(saga, now() + ALONE_RETRY_MS));
    const runner = this.#resume(saga, { alone: true });
    if (runner) solitary.begin(runner);
  }

  #resume(saga: ReadSaga, { alone } = { alone: false }): SagaRunner | undefined {
    const { registry, run, now } = this.#parts;
    const { journal, mailSeq, adoptions, state } = saga;
    const definition = registry.find(state.started.name, state.started.version);
    if (!definition) {
      // One that has ended has mail that nobody can answer just now; it cannot be parked.
      if (isEnded(state.status)) this.#giveUp(toGiveBackEntry(saga, now() + MISSING_RETRY_MS));
      else this.park(saga, { reason: "definition_missing", detail: NOBODY_HOLDS_IT });
      return undefined;
    }
    const runner = run(definition, {
      state,
      ackedSeq: journal.length,
      mail: { seq: mailSeq, fetched: false },
    });
    if (alone) runner.drain();
    runner.resume({ crashed: adoptions > 0 });
    return runner;
  }

  /** Parks a saga without running it. */
  park(
    saga: ClaimedSaga,
    { reason, detail }: { readonly reason: ParkReason; readonly detail: string },
  ): void {
    const { log, now } = this.#parts;
    log.error("sagaz: a saga was parked", { sagaId: saga.sagaId, reason, detail });
    this.#giveUp(toParkingEntry(saga, { reason, detail, at: now() }));
  }

  /** When that is refused, the saga is still ours; the next call of the roll finds it. */
  #giveUp(entry: AppendEntry): void {
    const { submit, log, onGivenUp } = this.#parts;
    const { sagaId } = entry;
    this.#leaving.add(sagaId);
    submit(entry, (error) => {
      this.#leaving.delete(sagaId);
      if (error) log.warn("sagaz: a saga could not be given up", { sagaId, error: error.message });
      else onGivenUp(sagaId);
    });
  }
}
