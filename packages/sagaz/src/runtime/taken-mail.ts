import { RareMap } from "../core/rare-map.ts";
import type { Mail } from "../ports/storage.ts";
import type { MailState } from "./runner-host.ts";

/** What one owner has read of a saga's mail, so that nothing is answered twice and nothing is slept beside. */
export class TakenMail {
  /** Of each one taken, by id, its place in the order of sending. */
  readonly #taken = new RareMap<string, number>();
  #seq: number;
  #isFetched: boolean;
  /** Refusals on their way to the storage. */
  #refusing = 0;

  constructor({ seq, fetched }: MailState) {
    this.#seq = seq;
    this.#isFetched = fetched;
  }

  /**
   * Notes mail that has come. `repeat`: it was taken already, and its answer is under way. `again`: its sender, not
   * knowing that it had arrived, sent it once more after it was answered; there is nothing left to do but to clear it.
   */
  take({ mailId, mailSeq }: Mail): "new" | "repeat" | "again" {
    const known = this.#taken.get(mailId);
    if (known === mailSeq) return "repeat";
    this.#taken.set(mailId, mailSeq);
    this.#seq = Math.max(this.#seq, mailSeq);
    return known === undefined ? "new" : "again";
  }

  /** All mail that had been sent when this saga was claimed is here. */
  fetched(): void {
    this.#isFetched = true;
  }

  /** Mail whose refusal is not stored is unread: it is taken again when it comes again, here or at the next owner. */
  async refused({ mailId }: Mail, isStored: Promise<boolean>): Promise<void> {
    this.#refusing++;
    const stored = await isStored;
    this.#refusing--;
    if (stored) return;
    this.#taken.delete(mailId);
    this.#isFetched = false;
  }

  /** How much mail was taken, for whoever claims the saga next; while some may be unread, no number fits. */
  get seq(): number {
    return this.#isFetched && this.#refusing === 0 ? this.#seq : -1;
  }
}
