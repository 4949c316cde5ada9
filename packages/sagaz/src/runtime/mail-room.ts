import type { SagaError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Mail, NewMail, SagaStorage } from "../ports/storage.ts";
import { keepTrying } from "./patience.ts";
import type { SagaRunner } from "./saga-runner.ts";

/** Mail fetched in one round trip. */
const MAIL_MAX = 500;

/** What a mail room is made of. */
export interface MailRoomParts {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly epoch: () => number;
  readonly isRunning: () => boolean;
  readonly runners: ReadonlyMap<string, SagaRunner>;
}

/** Hands requests from other processes and sagas to the runners they are for, and sends our own. */
export class MailRoom {
  readonly #parts: MailRoomParts;
  #isFetching = false;
  #again = false;

  constructor(parts: MailRoomParts) {
    this.#parts = parts;
  }

  /**
   * Fetches all unread mail, each once: page after page, whoever reads it or not. Mail of a saga that is not in memory
   * stays unread, and in nobody's way. With the next hint mail comes again that is not answered yet; runners drop repeats.
   */
  async fetch(): Promise<void> {
    this.#again = true;
    if (this.#isFetching) return;
    this.#isFetching = true;
    try {
      while (this.#again && this.#parts.isRunning()) {
        this.#again = false;
        await this.#fetchAll();
      }
    } catch (error) {
      // Cut off by this process's stop, which is no failure: what is unread is read by the sagas' next owner.
      if (!this.#parts.isRunning()) return;
      this.#parts.log.warn("sagaz: fetching mail failed", { error: String(error) });
    } finally {
      this.#isFetching = false;
    }
  }

  async #fetchAll(): Promise<void> {
    const { storage, epoch, runners } = this.#parts;
    const present = [...runners.values()];
    let last: Mail | undefined;
    do {
      const mails = await storage.mailbox.fetch(epoch(), MAIL_MAX, last);
      for (const mail of mails) runners.get(mail.sagaId)?.deliver(mail);
      last = mails.length < MAIL_MAX ? undefined : mails.at(-1);
    } while (last);
    for (const runner of present) runner.mailFetched();
  }

  /**
   * Tells the sender of a request why it is not carried out. Lost with an outage the mail stays unread; then the answer
   * is false, and the next fetch brings it again.
   */
  async refuse({ mailId, sagaId, kind }: Mail, { code, details, message }: SagaError): Promise<boolean> {
    const { storage, epoch, log } = this.#parts;
    // Its sender does not wait to be told.
    if (kind === "reply") log.warn("sagaz: a participant's reply was refused", { mailId, sagaId, message });
    const refusal = { mailId, sagaId, code, details: JSON.stringify(details) };
    try {
      await storage.mailbox.refuse(epoch(), [refusal]);
      return true;
    } catch (error) {
      log.warn("sagaz: a refusal was not stored", { mailId, error: String(error) });
      return false;
    }
  }

  /** Sends mail that must not get lost with an outage. */
  send(mail: NewMail): void {
    const { storage, clock, log, isRunning } = this.#parts;
    void keepTrying(() => storage.mailbox.send(mail), {
      clock,
      log,
      what: "sending mail",
      isWanted: isRunning,
    });
  }
}
