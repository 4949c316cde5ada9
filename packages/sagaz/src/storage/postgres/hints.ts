import { randomUUID } from "node:crypto";
import type { Hint } from "../../ports/storage.ts";
import type { Database } from "./database.ts";
import { Listener } from "./listen.ts";

/** What is sent besides the hints: somebody waits for sagas of other processes to end. */
type Word = Hint | "await";

const gatherMs = 2;
const quietMs = 20;
const askAgainMs = 10_000;
const awaitedMs = 30_000;

/**
 * Hints between processes, by LISTEN and NOTIFY.
 *
 * NOTIFY takes a lock that is one for the whole server until its transaction has committed. So it is never part of a
 * transaction that does something else: what is to be told is gathered, and told after the fact by a connection of the
 * pool, at most every 20 ms. That a saga has ended or is parked is told only while some process has said that it waits for one;
 * a process that runs its own sagas and awaits them notifies nobody.
 */
export class Hints {
  readonly #database: Database;
  readonly #listener: Listener;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #self = randomUUID();
  readonly #gathered = new Set<Word>();
  #timer: NodeJS.Timeout | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #awaitedUntil = Number.NEGATIVE_INFINITY;
  #isOpen = false;

  constructor(database: Database, onNotice: (notice: string) => void) {
    this.#database = database;
    this.#listener = new Listener(database, {
      onPayload: (payload) => this.#hear(payload),
      // While nobody listened, anything may have been said.
      onConnected: () => this.#pass(["work", "mail", "ended", "outbox"]),
      onNotice: (notice) => {
        try {
          onNotice(notice);
        } catch {
          // A notice may be lost: a listener's trouble is its own.
        }
      },
    });
  }

  /** Calls the listener on every hint; returns how to stop that. */
  subscribe(listener: (hint: Hint) => void): () => void {
    const own = (hint: Hint) => listener(hint);
    this.#listeners.add(own);
    if (this.#isOpen) this.#listener.start();
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size === 0) this.#listener.stop();
    };
  }

  /** Begins to tell and to listen. */
  open(): void {
    this.#isOpen = true;
    if (this.#listeners.size > 0) this.#listener.start();
  }

  /** Stops telling and listening. What was not told yet is left to polling. */
  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#gathered.clear();
    this.#listener.stop();
  }

  /** Tells this process and the others, a little later. */
  tell(hint: Hint): void {
    if (hint === "ended" && performance.now() > this.#awaitedUntil) return;
    this.#gather(hint);
  }

  /** Asks the other processes to tell when sagas end. */
  askForEnds(): void {
    const now = performance.now();
    if (now < this.#askedAt + askAgainMs) return;
    this.#askedAt = now;
    this.#awaitedUntil = now + awaitedMs;
    this.#gather("await");
  }

  #gather(word: Word): void {
    if (!this.#isOpen) return;
    this.#gathered.add(word);
    const delayMs = Math.max(gatherMs, this.#toldAt + quietMs - performance.now());
    this.#timer ??= setTimeout(() => this.#flush(), delayMs).unref();
  }

  #flush(): void {
    this.#timer = undefined;
    this.#toldAt = performance.now();
    const words = [...this.#gathered];
    this.#gathered.clear();
    this.#pass(words);
    const payload = `${this.#self} ${words.join(" ")}`;
    // A hint that is lost is found by polling.
    this.#database
      .write({ text: "select pg_notify($1::text, $2::text)", values: [this.#listener.channel, payload] })
      .catch(() => {});
  }

  #hear(payload: string): void {
    const [sender, ...words] = payload.split(" ");
    if (sender === this.#self) return;
    if (words.includes("await")) this.#awaitedUntil = performance.now() + awaitedMs;
    this.#pass(words);
  }

  #pass(words: readonly string[]): void {
    for (const hint of words) {
      if (!isHint(hint)) continue;
      for (const listener of this.#listeners) {
        try {
          listener(hint);
        } catch {
          // A listener's own trouble: others want to hear too.
        }
      }
    }
  }
}

function isHint(word: string): word is Hint {
  return word === "work" || word === "mail" || word === "ended" || word === "outbox";
}
