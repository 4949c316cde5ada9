import type { DeadEvent, FailedEvent } from "../../ports/outbox.ts";
import type { BatchVerdict } from "./verdict.ts";

/** What is noted of a batch. */
export type Note = Pick<BatchVerdict, "sent" | "failed" | "dead">;

/** Notes what became of the events of lanes: what comes during one write gathers for the next, however many lanes there are. */
export class LaneNotes {
  readonly #settle: (note: Note) => Promise<void>;
  #next: { readonly note: Note; readonly done: Promise<void> } | undefined;
  #last: Promise<void> = Promise.resolve();

  /** `settle` must not fail. */
  constructor(settle: (note: Note) => Promise<void>) {
    this.#settle = settle;
  }

  /** Resolves once it is noted. */
  add({ sent, failed, dead }: Note): Promise<void> {
    const { note, done } = (this.#next ??= this.#begin());
    note.sent.push(...sent);
    note.failed.push(...failed);
    note.dead.push(...dead);
    return done;
  }

  #begin(): { readonly note: Note; readonly done: Promise<void> } {
    const note = { sent: [] as number[], failed: [] as FailedEvent[], dead: [] as DeadEvent[] };
    this.#last = this.#last.then(() => {
      this.#next = undefined;
      return this.#settle(note);
    });
    return { note, done: this.#last };
  }
}
