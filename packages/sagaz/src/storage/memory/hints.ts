import type { Hint } from "../../ports/storage.ts";

/** Tells listeners that something may have changed, once per kind for everything that changed in one go. */
export class Hints {
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #waiting = new Set<Hint>();

  listen(listener: (hint: Hint) => void): () => void {
    const own = (hint: Hint) => listener(hint);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  emit(hint: Hint): void {
    if (this.#listeners.size === 0) return;
    if (this.#waiting.size === 0) queueMicrotask(() => this.#flush());
    this.#waiting.add(hint);
  }

  #flush(): void {
    const hints = [...this.#waiting];
    this.#waiting.clear();
    for (const listener of this.#listeners) for (const hint of hints) tell(listener, hint);
  }
}

function tell(listener: (hint: Hint) => void, hint: Hint): void {
  try {
    listener(hint);
  } catch {
    // A hint may be lost: a listener's trouble is its own, and neither a write nor the next listener pays for it.
  }
}
