import { SagaError } from "../core/errors.ts";
import type { SagaStorage } from "../ports/storage.ts";
import type { FailingOperation } from "./conformance/storage/storage-rule.ts";

/** A storage whose calls fail when they are told to, and the way to tell them. */
export interface FaultyStorage {
  readonly storage: SagaStorage;
  /**
   * The next call of this operation fails. `before`: nothing is written, `SAGAZ_STORAGE_UNAVAILABLE`; `after`: it is
   * written and its answer lost, `SAGAZ_COMMIT_IN_DOUBT`.
   */
  failNext(operation: FailingOperation, when: "before" | "after"): void;
}

/** Puts a failing line in front of a storage: the calls go through it, the data are the storage's own. */
export function withFaults(storage: SagaStorage): FaultyStorage {
  const ordered = new Map<FailingOperation, "before" | "after">();

  async function through<Answer>(operation: FailingOperation, call: () => Promise<Answer>): Promise<Answer> {
    const when = ordered.get(operation);
    ordered.delete(operation);
    if (when === "before")
      throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "a test cut the line" });
    const answer = await call();
    if (when === "after") throw new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "a test lost the answer" });
    return answer;
  }

  const { journal, mailbox } = storage;
  return {
    failNext: (operation, when) => void ordered.set(operation, when),
    storage: {
      name: storage.name,
      can: storage.can,
      start: () => storage.start(),
      stop: () => storage.stop(),
      listen: (listener) => storage.listen(listener),
      leases: storage.leases,
      queries: storage.queries,
      upkeep: storage.upkeep,
      outbox: storage.outbox,
      inbox: storage.inbox,
      deadLetters: storage.deadLetters,
      flows: storage.flows,
      participants: storage.participants,
      journal: {
        append: (batch) => through("append", () => journal.append(batch)),
        startKeyed: (epoch, starts) => through("startKeyed", () => journal.startKeyed(epoch, starts)),
        startIn: (tx, start) => journal.startIn(tx, start),
        tails: (sagaIds) => journal.tails(sagaIds),
        transaction: (work) => journal.transaction(work),
      },
      mailbox: {
        send: (mail) => through("send", () => mailbox.send(mail)),
        fetch: (epoch, limit, after) => mailbox.fetch(epoch, limit, after),
        refuse: (epoch, refusals) => mailbox.refuse(epoch, refusals),
        outcome: (mail) => mailbox.outcome(mail),
      },
    },
  };
}
