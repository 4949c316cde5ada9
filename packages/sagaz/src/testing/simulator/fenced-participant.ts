import { fail } from "../../core/decide/outcome.ts";

/**
 * A service as it should be towards sagas, for tests: it does a thing once however often it is asked, an undo of what
 * it never did leaves a tombstone, and what comes after its undo is refused. Without the last two no engine can
 * promise that a call which was thought lost does not take effect after all.
 *
 * @example
 * const stock = new FencedParticipant<number>();
 * reserve: (ctx) => stock.do(ctx.idempotencyKey, () => { left -= ctx.input.count; return ctx.input.count; }),
 * release: (ctx) => stock.undo(ctx.actionKey, (count) => { left += count; }),
 */
export class FencedParticipant<Effect = unknown> {
  readonly #effects = new Map<string, Effect>();
  readonly #tombstones = new Set<string>();

  /**
   * Does it, unless that was done before under this key; answers what was done.
   *
   * @throws BusinessFailure when it was undone before it came.
   */
  do(idempotencyKey: string, make: () => Effect): Effect {
    const known = this.#effects.get(idempotencyKey);
    if (known !== undefined || this.#effects.has(idempotencyKey)) return known as Effect;
    if (this.#tombstones.has(idempotencyKey)) throw fail(`refused: ${idempotencyKey} was undone`);
    const effect = make();
    this.#effects.set(idempotencyKey, effect);
    return effect;
  }

  /** Takes back what was done under the action's key, if anything was, and refuses it from now on. */
  undo(actionKey: string, unmake: (effect: Effect) => void): void {
    this.#tombstones.add(actionKey);
    if (!this.#effects.has(actionKey)) return;
    const effect = this.#effects.get(actionKey) as Effect;
    this.#effects.delete(actionKey);
    unmake(effect);
  }

  /** Tells whether it is done: what `verify` may answer. */
  has(actionKey: string): boolean {
    return this.#effects.has(actionKey);
  }

  /** What is done and not undone, by key. */
  get effects(): ReadonlyMap<string, Effect> {
    return this.#effects;
  }
}
