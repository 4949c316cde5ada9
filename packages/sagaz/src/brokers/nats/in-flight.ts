/** Bounds of what is sent and not answered yet: of a broker object, so that calls at the same time share them. */
const messagesMax = 1_000;
const bytesMax = 16 * 1024 * 1024;

/** Lets through what fits in beside what is under way, in the order of asking. */
export class InFlight {
  #messages = 0;
  #bytes = 0;
  readonly #queue: { readonly bytes: number; readonly enter: () => void }[] = [];

  /** Undefined when it may go at once. */
  enter(bytes: number): Promise<void> | undefined {
    if (this.#queue.length === 0 && this.#fits(bytes)) {
      this.#add(bytes);
      return undefined;
    }
    return new Promise((enter) => this.#queue.push({ bytes, enter }));
  }

  leave(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
    for (let first; (first = this.#queue[0]) && this.#fits(first.bytes); this.#queue.shift()) {
      this.#add(first.bytes);
      first.enter();
    }
  }

  /** What is larger than all that may be under way goes alone. */
  #fits(bytes: number): boolean {
    return this.#messages === 0 || (this.#messages < messagesMax && this.#bytes + bytes <= bytesMax);
  }

  #add(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
  }
}
