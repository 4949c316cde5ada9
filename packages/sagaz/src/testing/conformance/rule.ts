import { ok } from "node:assert/strict";
import type { SqlRunner } from "../../core/definition/context.ts";
import type { SagaStorage } from "../../ports/storage.ts";

/**
 * One sentence of the storage contract, with the check that it is kept. Plain data: any test runner can loop over it.
 *
 * @example
 * for (const rule of storageRules) {
 *   const unmet = unmetNeeds(rule, provided);
 *   test.skipIf(unmet.length > 0)(toTitle(rule, unmet), () => rule.check(open));
 * }
 */
export interface StorageRule {
  readonly name: string;
  /** What the storage, or the handle that opens it, must be able to do for this rule to mean anything. */
  readonly needs: readonly Need[];
  /** Throws an `AssertionError` when the rule is broken. */
  check(open: OpenStorage): Promise<void>;
}

/** Abilities of a storage (or their absence), and of the handle: see {@link StorageUnderTest}. */
export type Need =
  | "joinTransaction"
  | "no joinTransaction"
  | "transactionalSteps"
  | "no transactionalSteps"
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

/** Lists what a rule needs and this adapter does not provide: the rule is then skipped, by name. */
export function unmetNeeds(rule: StorageRule, provided: readonly Need[]): readonly Need[] {
  return rule.needs.filter((need) => !provided.includes(need));
}

/** What a storage provides by its own account, together with what its handle adds. */
export function toProvided(
  storage: Pick<SagaStorage, "can">,
  handle: readonly ("faults" | "lostRows")[],
): readonly Need[] {
  const { joinTransaction, transactionalSteps } = storage.can;
  return [
    joinTransaction ? "joinTransaction" : "no joinTransaction",
    transactionalSteps ? "transactionalSteps" : "no transactionalSteps",
    ...handle,
  ];
}

/** The title of a rule's test; one that is skipped says why. */
export function toTitle(rule: StorageRule, unmet: readonly Need[]): string {
  return unmet.length === 0 ? rule.name : `${rule.name} (skipped: needs ${unmet.join(", ")})`;
}

/** Makes a rule of a body, which gets a fresh storage and need not close it. */
export function rule(
  name: string,
  body: (t: StorageUnderTest) => Promise<void>,
  needs: readonly Need[] = [],
): StorageRule {
  return {
    name,
    needs,
    async check(open) {
      const t = await open();
      try {
        await body(t);
      } finally {
        await t.close();
      }
    },
  };
}

/** What a rule's needs promise to be there. */
export function given<Part>(part: Part | undefined): Part {
  ok(part !== undefined, "the handle lacks what the rule needs; declare it by `provided`");
  return part;
}
