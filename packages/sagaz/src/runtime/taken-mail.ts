import type { Mail } from "../ports/storage.ts";
import type { MailState } from "./runner-host.ts";

/** What one owner has read of a saga's mail, so that nothing is answered twice and nothing is slept beside. */
export class TakenMail {
  readonly #ids = new Set<string>();
  #seq: number;
  #isFetched: boolean;
  /** Refusals on their way to the storage. */
  #refusing = 0;

  constructor({ seq, fetched }: MailState) {
    this.#seq = seq;
    this.#isFetched = fetched;
  }

  /** Notes mail that has come; false for a repeat of what was taken already. */
  take({ mailId, mailSeq }: Mail): boolean {
    if (this.#ids.has(mailId)) return false;
    this.#ids.add(mailId);
    this.#seq = Math.max(this.#seq, mailSeq);
    return true;
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
    this.#ids.delete(mailId);
    this.#isFetched = false;
  }

  /** How much mail was taken, for whoever claims the saga next; while some may be unread, no number fits. */
  get seq(): number {
    return this.#isFetched && this.#refusing === 0 ? this.#seq : -1;
  }
}
