import type { Holding } from "./holding.ts";
import type { Membership } from "./membership.ts";

/** Acknowledgements are gathered for so long before they are recorded. */
const gatherMs = 100;
const retryMs = 500;

/** Records at the broker how far the group has come. */
export class Committer {
  readonly #holding: Holding;
  readonly #membership: Membership;
  readonly #onGone: () => void;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** `onGone`: called when our place in the group is gone, or not what it was. */
  constructor(holding: Holding, membership: Membership, onGone: () => void) {
    this.#holding = holding;
    this.#membership = membership;
    this.#onGone = onGone;
  }

  /** From now on nothing is recorded without being asked for. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  soon(delayMs = gatherMs): void {
    if (this.#isStopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.now().catch(() => this.soon(retryMs));
    }, delayMs);
  }

  /**
   * It may be under way twice: of the same partition the second records no less than the first.
   *
   * @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`
   */
  async now(): Promise<void> {
    const progress = this.#holding.toCommit;
    if (progress.length === 0) return;
    if (await this.#membership.commit(progress)) this.#holding.noteCommitted(progress);
    else this.#onGone();
  }
}
