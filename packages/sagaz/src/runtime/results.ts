import type { SagaState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { SagaStatus } from "../core/saga/status.ts";
import { SagaError } from "../core/errors.ts";
import type { SagaStorage } from "../ports/storage.ts";
import type { Endings } from "./endings.ts";
import { load } from "./load.ts";
import type { Registry } from "./registry.ts";
import { toResult } from "./saga-result.ts";
import type { SagaResult } from "./saga-result.ts";
import type { SagaRunner } from "./saga-runner.ts";
import type { Worker } from "./worker.ts";

/** How to wait for a saga's end. */
export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Also come back when the saga is parked. */
  readonly orParked?: boolean;
}

/** What {@link Results} needs. */
export interface ResultsParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly worker: Worker;
  readonly endings: Endings;
}

/** Waits for the ends of sagas, in whatever process they come. */
export class Results {
  readonly #parts: ResultsParts;

  constructor(parts: ResultsParts) {
    this.#parts = parts;
  }

  /** See `Sagas.result`. */
  async result<Output = unknown>(sagaId: string, options: WaitOptions = {}): Promise<SagaResult<Output>> {
    const { worker } = this.#parts;
    const until = options.timeoutMs === undefined ? undefined : worker.clock.monotonic() + options.timeoutMs;
    for (;;) {
      const runner = worker.find(sagaId);
      const over = runner ? stateIfOver(runner, options) : await this.#storedIfOver(sagaId, options);
      const state = over ?? (await this.#untilChanged(sagaId, options, until));
      if (state) return this.#toResult<Output>(state);
      if (!worker.isRunning) throw new SagaError("SAGAZ_STOPPED", { what: "orchestrator" });
    }
  }

  #toResult<Output>(state: SagaState): SagaResult<Output> {
    const { name, version } = state.started;
    return toResult(state, this.#parts.registry.find(name, version)) as SagaResult<Output>;
  }

  /** The state of a saga that is over (or parked, if that will do); only then its journal is read. */
  async #storedIfOver(sagaId: string, { orParked = false }: WaitOptions): Promise<SagaState | undefined> {
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    return isOver(row.status, orParked) ? load(this.#parts.storage, sagaId) : undefined;
  }

  #untilChanged(
    sagaId: string,
    options: WaitOptions,
    until: number | undefined,
  ): Promise<SagaState | undefined> {
    const { endings } = this.#parts;
    const { orParked = false, signal } = options;
    let stopWaiting = nothing;
    const changed = new Promise<SagaState | undefined>((wake) => {
      stopWaiting = endings.wait(sagaId, { orParked, wake });
    });
    if (until === undefined && !signal) return changed;
    return this.#orSooner(changed, { sagaId, options, until }).finally(stopWaiting);
  }

  /** What is waited for, unless the caller has waited long enough, or wants to wait no longer. */
  #orSooner(
    changed: Promise<SagaState | undefined>,
    { sagaId, options, until }: { sagaId: string; options: WaitOptions; until: number | undefined },
  ): Promise<SagaState | undefined> {
    const { clock } = this.#parts.worker;
    const { signal, timeoutMs } = options;
    return new Promise((resolve, reject) => {
      const onAbort = () => end(() => reject(new SagaError("SAGAZ_ABORTED", { sagaId })));
      const late = () => end(() => reject(new SagaError("SAGAZ_RESULT_TIMEOUT", { sagaId, timeoutMs })));
      const timer =
        until === undefined ? undefined : clock.setTimer(Math.max(1, until - clock.monotonic()), late);
      const end = (call: () => void) => {
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
        call();
      };
      void changed.then((state) => end(() => resolve(state)));
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

function nothing(): void {}

function stateIfOver({ live, state }: SagaRunner, { orParked = false }: WaitOptions): SagaState | undefined {
  const isRecorded = live.ackedSeq === state.seq;
  return isRecorded && isOver(state.status, orParked) ? state : undefined;
}

function isOver(status: SagaStatus, orParked: boolean): boolean {
  return isEnded(status) || (orParked && status === "parked");
}
