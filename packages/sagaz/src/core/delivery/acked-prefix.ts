/** What was handed over, and whether it need not come again. */
interface Handed<Place> {
  readonly place: Place;
  isDone: boolean;
}

/** Acknowledged messages are forgotten in lots of so many: to take them off one by one would move all others each time. */
const forgetAt = 1_000;

/**
 * Up to where everything is acknowledged of what was handed over in order.
 *
 * For brokers that keep a log and let a reader have a place in it: whoever goes on from that place gets all that was not
 * acknowledged, in order, and again what was acknowledged after the first that was not.
 */
export class AckedPrefix<Message extends object, Place> {
  #place: Place;
  readonly #handed: Handed<Place>[] = [];
  /** So many of them, from the first on, are acknowledged. */
  #doneCount = 0;
  readonly #open = new Map<Message, Handed<Place>>();

  constructor(place: Place) {
    this.#place = place;
  }

  /** Everything up to here is acknowledged. */
  get place(): Place {
    return this.#place;
  }

  /** How many are handed over and not acknowledged. */
  get unacked(): number {
    return this.#open.size;
  }

  /** Notes a message that is handed over, and its place, which is after all places before. */
  take(message: Message, place: Place): void {
    const handed = { place, isDone: false };
    this.#handed.push(handed);
    this.#open.set(message, handed);
  }

  /** False when it was not handed over here, or is acknowledged already. */
  ack(message: Message): boolean {
    const handed = this.#open.get(message);
    if (!handed) return false;
    this.#open.delete(message);
    handed.isDone = true;
    this.#advance();
    return true;
  }

  #advance(): void {
    for (let first; (first = this.#handed[this.#doneCount])?.isDone; this.#doneCount += 1)
      this.#place = first.place;
    if (this.#doneCount < forgetAt) return;
    this.#handed.splice(0, this.#doneCount);
    this.#doneCount = 0;
  }
}
