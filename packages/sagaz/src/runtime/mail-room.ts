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
  /** Resolves when everything that was decided so far is written: then answered mail is gone. */
  readonly written: () => Promise<void>;
}

/** Hands requests from other processes and sagas to the runners they are for, and sends our own. */
export class MailRoom {
  readonly #parts: MailRoomParts;
  #isFetching = false;
  #again = false;

  constructor(parts: MailRoomParts) {
    this.#parts = parts;
  }

  /** Fetches all unread mail. Mail that was fetched and is not answered yet comes again; runners drop repeats. */
  async fetch(): Promise<void> {
    this.#again = true;
    if (this.#isFetching) return;
    this.#isFetching = true;
    try {
      while (this.#again && this.#parts.isRunning()) {
        this.#again = false;
        if (await this.#fetchOnce()) this.#again = true;
      }
    } catch (error) {
      this.#parts.log.warn("sagaz: fetching mail failed", { error: String(error) });
    } finally {
      this.#isFetching = false;
    }
  }

  /** Answers whether there may be more. */
  async #fetchOnce(): Promise<boolean> {
    const { storage, epoch, runners, written } = this.#parts;
    const present = [...runners.values()];
    const mails = await storage.mailbox.fetch(epoch(), MAIL_MAX);
    for (const mail of mails) runners.get(mail.sagaId)?.deliver(mail);
    if (mails.length < MAIL_MAX) {
      for (const runner of present) runner.mailFetched();
      return false;
    }
    await written();
    return true;
  }

  /**
   * Tells the sender of a request why it is not carried out. Lost with an outage the mail stays unread; then the answer
   * is false, and the next fetch brings it again.
   */
  async refuse({ mailId, sagaId }: Mail, { code, details }: SagaError): Promise<boolean> {
    const { storage, epoch, log } = this.#parts;
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
