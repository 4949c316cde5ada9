import type { Clock } from "../../ports/clock.ts";
import type { DeadLetterStorage } from "../../ports/dead-letters.ts";
import type { FlowStorage } from "../../ports/flows.ts";
import type { InboxStorage } from "../../ports/inbox.ts";
import type { OutboxStorage } from "../../ports/outbox.ts";
import type { ParticipantStorage } from "../../ports/participants.ts";
import type {
  Hint,
  JournalStore,
  LeaseStore,
  MailboxStore,
  QueryStore,
  SagaStorage,
  StorageAbilities,
  UpkeepStore,
} from "../../ports/storage.ts";
import { deadLettersIn } from "./dead-letters.ts";
import { flowsIn } from "./flows.ts";
import { inboxIn } from "./inbox.ts";
import { journalIn } from "./journal.ts";
import { leasesIn } from "./leases.ts";
import { mailboxIn } from "./mailbox.ts";
import { outboxIn } from "./outbox.ts";
import { participantsIn } from "./participants.ts";
import { queriesIn } from "./queries.ts";
import { Tables } from "./tables.ts";
import { Transactions } from "./transactions.ts";
import type { InMemoryTransaction } from "./transactions.ts";
import { upkeepIn } from "./upkeep.ts";

export type { InMemoryTransaction } from "./transactions.ts";

/** Options of {@link InMemoryStorage}. */
export interface InMemoryStorageOptions {
  /** What the storage takes as the database's clock; the system's by default. */
  readonly clock?: Pick<Clock, "now">;
}

/**
 * A storage that lives and dies with its object: for tests, and to try things out.
 *
 * The object is the database: it outlives the workers on it, of which there may be several, and it keeps every saga
 * until it is collected. It keeps all rules of the storage contract; each call happens at once and whole.
 */
export class InMemoryStorage implements SagaStorage {
  readonly name = "memory";
  readonly can: StorageAbilities = {
    joinTransaction: true,
    transactionalSteps: false,
    participants: true,
  };
  readonly journal: JournalStore;
  readonly leases: LeaseStore;
  readonly mailbox: MailboxStore;
  readonly queries: QueryStore;
  readonly upkeep: UpkeepStore;
  readonly outbox: OutboxStorage;
  readonly inbox: InboxStorage;
  readonly deadLetters: DeadLetterStorage;
  readonly flows: FlowStorage;
  readonly participants: ParticipantStorage;
  readonly #tables: Tables;
  readonly #transactions: Transactions;

  constructor(options: InMemoryStorageOptions = {}) {
    this.#tables = new Tables(options.clock ?? { now: () => Date.now() });
    this.#transactions = new Transactions(this.#tables);
    this.journal = journalIn(this.#tables, this.#transactions);
    this.leases = leasesIn(this.#tables);
    this.mailbox = mailboxIn(this.#tables);
    this.queries = queriesIn(this.#tables);
    this.upkeep = upkeepIn(this.#tables);
    this.outbox = outboxIn(this.#tables, this.#transactions);
    this.inbox = inboxIn(this.#tables, this.#transactions);
    this.deadLetters = deadLettersIn(this.#tables);
    this.flows = flowsIn(this.#tables);
    this.participants = participantsIn(this.#tables, this.#transactions);
  }

  /** There is nothing to connect to. */
  async start(): Promise<void> {}

  /** Keeps the data: other workers may share this object, and the one that stopped may come back. */
  async stop(): Promise<void> {}

  listen(listener: (hint: Hint) => void): () => void {
    return this.#tables.hints.listen(listener);
  }

  /** Loses all projected rows, as a database might; journals, mail and keys stay. For tests of how rows are rebuilt. */
  loseRows(): void {
    this.#tables.loseRows();
  }

  /** Opens a transaction for starts (`sagas.start(…, { tx })`), as a database's client would. */
  begin(): InMemoryTransaction {
    return this.#transactions.begin();
  }
}
