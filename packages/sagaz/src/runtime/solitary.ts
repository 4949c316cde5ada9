import type { SagaInMemory } from "./runner-host.ts";
import type { SagaRunner } from "./saga-runner.ts";
import type { Timers } from "./timers.ts";

const LOOK_MS = 20;

/** What {@link Solitary} needs of its worker. */
export interface SolitaryParts {
  readonly runners: ReadonlyMap<string, SagaRunner>;
  readonly timers: Timers;
  /** Resolves when all that this process has to write is on record. */
  readonly written: () => Promise<void>;
  /** May runners go on? */
  readonly mayRun: () => boolean;
  /** The saga is acquitted or gone: the worker works as usual again. */
  readonly onOver: () => void;
}

/**
 * Runs a saga whose workers keep dying while nothing else of this process runs: if it is the cause, it alone is blamed
 * for the next death. Progress on record acquits it.
 */
export class Solitary {
  readonly #parts: SolitaryParts;
  #runner: SagaRunner | undefined;

  constructor(parts: SolitaryParts) {
    this.#parts = parts;
  }

  get isOn(): boolean {
    return this.#runner !== undefined;
  }

  /** True when this runner may not begin anything now, because another one is alone. */
  excludes(runner: SagaRunner): boolean {
    return this.#runner !== undefined && this.#runner !== runner;
  }

  /**
   * Lets everything else come to rest, then this one run. What was claimed together with it and given back has to be on
   * record as given back before: else it would be blamed for the next death too.
   */
  begin(runner: SagaRunner): void {
    this.#runner = runner;
    for (const other of this.#parts.runners.values()) other.drain();
    this.#parts.timers.later(LOOK_MS, () => this.#whenOthersRest(runner));
  }

  /** A runner left memory. */
  left(saga: SagaInMemory): void {
    if (this.#runner === saga) this.#end();
  }

  #whenOthersRest(runner: SagaRunner): void {
    if (this.#runner !== runner) return;
    for (const other of this.#parts.runners.values()) {
      if (other === runner || other.inFlight === 0) continue;
      this.#parts.timers.later(LOOK_MS, () => this.#whenOthersRest(runner));
      return;
    }
    void this.#parts.written().then(() => this.#letGo(runner));
  }

  #letGo(runner: SagaRunner): void {
    if (this.#runner !== runner) return;
    const recorded = runner.live.ackedSeq;
    if (this.#parts.mayRun()) runner.undrain();
    this.#watch(runner, recorded);
  }

  #watch(runner: SagaRunner, recorded: number): void {
    if (this.#runner !== runner) return;
    if (runner.live.ackedSeq > recorded || (runner.isQuiet && !runner.live.draining)) return this.#end();
    this.#parts.timers.later(LOOK_MS, () => this.#watch(runner, recorded));
  }

  #end(): void {
    this.#runner = undefined;
    if (this.#parts.mayRun()) for (const runner of this.#parts.runners.values()) runner.undrain();
    this.#parts.onOver();
  }
}
