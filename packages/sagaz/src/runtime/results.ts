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
      const over = await this.#stateIfOver(sagaId, options);
      const state = over ?? (await this.#untilChanged(sagaId, { ...options, until }));
      if (state) return this.#toResult<Output>(state);
      if (!worker.isRunning) throw new SagaError("SAGAZ_STOPPED", { what: "orchestrator" });
    }
  }

  #toResult<Output>(state: SagaState): SagaResult<Output> {
    const { name, version } = state.started;
    return toResult(state, this.#parts.registry.find(name, version)) as SagaResult<Output>;
  }

  /** The state of a saga that is over (or parked, if that will do); only then its journal is read. */
  async #stateIfOver(sagaId: string, { orParked = false }: WaitOptions): Promise<SagaState | undefined> {
    const runner = this.#parts.worker.find(sagaId);
    if (runner) {
      const recorded = runner.live.ackedSeq === runner.state.seq;
      return recorded && isOver(runner.state.status, orParked) ? runner.state : undefined;
    }
    const row = await this.#parts.storage.queries.find(sagaId);
    if (!row) throw new SagaError("SAGAZ_SAGA_NOT_FOUND", { sagaId });
    return isOver(row.status, orParked) ? load(this.#parts.storage, sagaId) : undefined;
  }

  #untilChanged(
    sagaId: string,
    { orParked = false, signal, timeoutMs, until }: WaitOptions & { until: number | undefined },
  ): Promise<SagaState | undefined> {
    const { endings, worker } = this.#parts;
    return new Promise((resolve, reject) => {
      const end = (call: () => void) => {
        timer?.cancel();
        stopWaiting();
        signal?.removeEventListener("abort", onAbort);
        call();
      };
      const onAbort = () => end(() => reject(new SagaError("SAGAZ_ABORTED", { sagaId })));
      const stopWaiting = endings.wait(sagaId, { orParked, wake: (state) => end(() => resolve(state)) });
      const late = () => end(() => reject(new SagaError("SAGAZ_RESULT_TIMEOUT", { sagaId, timeoutMs })));
      const timer =
        until === undefined
          ? undefined
          : worker.clock.setTimer(Math.max(1, until - worker.clock.monotonic()), late);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

function isOver(status: SagaStatus, orParked: boolean): boolean {
  return isEnded(status) || (orParked && status === "parked");
}
