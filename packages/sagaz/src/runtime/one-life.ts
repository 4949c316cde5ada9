import { SagaError } from "../core/errors.ts";

/** Starts once, and again only where that failed; stops once, and does not come back. */
export class OneLife {
  readonly #parts: {
    /** For people: "inbox worker". */
    readonly what: string;
    readonly start: () => Promise<void>;
    readonly stop: () => Promise<void>;
  };
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: {
    readonly what: string;
    readonly start: () => Promise<void>;
    readonly stop: () => Promise<void>;
  }) {
    this.#parts = parts;
  }

  /** It is starting, or has. */
  get hasBegun(): boolean {
    return this.#starting !== undefined;
  }

  /** It is to stop, or has. */
  get isOver(): boolean {
    return this.#stopping !== undefined;
  }

  /** @throws SagaError `SAGAZ_STOPPED`; what starting throws. */
  async start(): Promise<void> {
    if (this.#stopping) throw new SagaError("SAGAZ_STOPPED", { what: this.#parts.what });
    this.#starting ??= this.#parts.start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** Once the start that is under way has ended, and also when it failed: there may be something to close. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => {}); // whoever called start() was told
    await this.#parts.stop();
  }
}
