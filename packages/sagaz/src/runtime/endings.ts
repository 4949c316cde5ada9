import type { SagaState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { SagaStorage } from "../ports/storage.ts";
import type { SagaInMemory } from "./runner-host.ts";

/** Delay between looks for ends of sagas that run elsewhere: doubles from the first to the last figure. */
const POLL_MS = { first: 10, most: 1_000 };
/** Ids asked about in one query. */
const ASK_MAX = 1_000;

interface Waiter {
  readonly orParked: boolean;
  /** Gets the state when the saga is over in this process; else whoever waits has to look. */
  readonly wake: (state?: SagaState) => void;
}

/**
 * Waits for sagas to end, wherever they run: at once when they end in this process, else by looking, for all that are
 * awaited in one query.
 */
export class Endings {
  readonly #storage: SagaStorage;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #isLocal: (sagaId: string) => boolean;
  /** Most sagas have one waiter, which then stands for the set of it. */
  readonly #waiters = new Map<string, Waiter | Set<Waiter>>();
  #timer: Timer | undefined;
  #delayMs = POLL_MS.first;
  #asking = false;
  #stopped = false;

  constructor(options: {
    storage: SagaStorage;
    clock: Clock;
    log: Log;
    isLocal: (sagaId: string) => boolean;
  }) {
    this.#storage = options.storage;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#isLocal = options.isLocal;
  }

  /** Calls once, when the saga has ended (or, if asked for, is parked) or may have. Returns how to stop waiting. */
  wait(sagaId: string, waiter: Waiter): () => void {
    const others = this.#waiters.get(sagaId);
    if (others instanceof Set) others.add(waiter);
    else this.#waiters.set(sagaId, others ? new Set([others, waiter]) : waiter);
    if (this.#stopped) queueMicrotask(() => this.#wakeAll(sagaId, { which: anyone }));
    else if (!this.#isLocal(sagaId)) this.hint();
    return () => this.#leave(sagaId, waiter);
  }

  /** A saga of this process changed. */
  notice(saga: SagaInMemory, why: "parked" | "ended" | "released" | "lost"): void {
    const waiters = this.#waiters.get(saga.sagaId);
    if (!waiters) return;
    if (why === "ended") this.#wakeAll(saga.sagaId, { which: anyone, state: saga.state });
    else if (why === "parked") this.#wakeAll(saga.sagaId, { which: wantsParked, state: saga.state });
    else this.hint();
  }

  /** Something may have ended elsewhere: look soon. */
  hint(): void {
    this.#delayMs = POLL_MS.first;
    this.#lookLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const sagaId of this.#waiters.keys()) this.#wakeAll(sagaId, { which: anyone });
  }

  #wakeAll(
    sagaId: string,
    { which, state }: { which: (waiter: Waiter) => boolean; state?: SagaState },
  ): void {
    for (const waiter of this.#of(sagaId)) {
      if (!which(waiter)) continue;
      this.#leave(sagaId, waiter);
      waiter.wake(state);
    }
  }

  #of(sagaId: string): Iterable<Waiter> {
    const waiters = this.#waiters.get(sagaId);
    if (waiters instanceof Set) return waiters;
    return waiters ? [waiters] : [];
  }

  #leave(sagaId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(sagaId);
    if (waiters instanceof Set) waiters.delete(waiter);
    if (waiters === waiter || (waiters instanceof Set && waiters.size === 0)) this.#waiters.delete(sagaId);
  }

  #lookLater(): void {
    if (this.#timer || this.#asking || this.#stopped || !this.#hasRemote()) return;
    this.#timer = this.#clock.setTimer(this.#delayMs, () => {
      this.#timer = undefined;
      void this.#look();
    });
    this.#delayMs = Math.min(this.#delayMs * 2, POLL_MS.most);
  }

  #hasRemote(): boolean {
    for (const sagaId of this.#waiters.keys()) if (!this.#isLocal(sagaId)) return true;
    return false;
  }

  async #look(): Promise<void> {
    this.#asking = true;
    try {
      const remote = [...this.#waiters.keys()].filter((sagaId) => !this.#isLocal(sagaId));
      for (let i = 0; i < remote.length; i += ASK_MAX) await this.#ask(remote.slice(i, i + ASK_MAX));
    } catch (error) {
      this.#log.warn("sagaz: looking for ended sagas failed", { error: String(error) });
    } finally {
      this.#asking = false;
    }
    this.#lookLater();
  }

  async #ask(sagaIds: readonly string[]): Promise<void> {
    for (const { sagaId, status } of await this.#storage.queries.ended(sagaIds)) {
      this.#wakeAll(sagaId, { which: isEnded(status) ? anyone : wantsParked });
    }
  }
}

function anyone(): boolean {
  return true;
}

function wantsParked({ orParked }: Waiter): boolean {
  return orParked;
}
