import type { SqlRunner } from "../../../core/definition/context.ts";
import type { SagaStorage } from "../../../ports/storage.ts";
import { toRule } from "../rule.ts";
import type { Rule } from "../rule.ts";

/** One sentence of the storage contract, with the check that it is kept. */
export type StorageRule = Rule<StorageUnderTest, Need>;

/** Abilities of a storage (or their absence), and of the handle: see {@link StorageUnderTest}. */
export type Need =
  | "joinTransaction"
  | "no joinTransaction"
  | "transactionalSteps"
  | "no transactionalSteps"
  | "participants"
  | "no participants"
  | "faults"
  | "lostRows";

/** Opens a storage with no sagas, workers or definitions in it. */
export type OpenStorage = () => Promise<StorageUnderTest>;

/** A started storage, with what a rule needs around it. */
export interface StorageUnderTest {
  readonly storage: SagaStorage;
  /** One more storage object on the same data, started: another process. */
  another(): Promise<SagaStorage>;
  /** The database's clock as the rule has set it: milliseconds since 1970, standing still in between. */
  now(): number;
  /** Sets the database's clock, for all storage objects on this data. */
  setNow(ms: number): void;
  /** Stops all storage objects and removes the data. */
  close(): Promise<void>;
  /**
   * Need `faults`: makes the next call of this operation on `storage` fail. `before`: nothing is written and
   * `SAGAZ_STORAGE_UNAVAILABLE` thrown; `after`: it is written, but the answer is lost: `SAGAZ_COMMIT_IN_DOUBT`.
   */
  readonly failNext?: (operation: FailingOperation, when: "before" | "after") => void;
  /** Need `joinTransaction`: opens a transaction as a user's code would, on a connection of its own. */
  readonly begin?: () => Promise<CallersTransaction>;
  /** Need `transactionalSteps`: a table of the user's beside ours. */
  readonly notes?: {
    write(tx: SqlRunner, text: string): Promise<void>;
    read(): Promise<readonly string[]>;
  };
  /** Need `lostRows`: deletes all projected rows of sagas, and nothing else. */
  readonly loseRows?: () => Promise<void>;
}

/** A write whose failure a rule can order. */
export type FailingOperation = "append" | "startKeyed" | "send";

/** A transaction of the user's own. */
export interface CallersTransaction {
  readonly tx: SqlRunner;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/** What a storage provides by its own account, together with what its handle adds. */
export function toProvided(
  storage: Pick<SagaStorage, "can">,
  handle: readonly ("faults" | "lostRows")[],
): readonly Need[] {
  const { joinTransaction, transactionalSteps, participants } = storage.can;
  return [
    joinTransaction ? "joinTransaction" : "no joinTransaction",
    transactionalSteps ? "transactionalSteps" : "no transactionalSteps",
    participants ? "participants" : "no participants",
    ...handle,
  ];
}

/** Makes a rule of a body, which gets a fresh storage and need not close it. */
export function rule(
  name: string,
  body: (t: StorageUnderTest) => Promise<void>,
  needs: readonly Need[] = [],
): StorageRule {
  return toRule({ name, needs, body });
}
