import type { SagaStorage } from "../../packages/sagaz/src/ports/storage.ts";
import type { StartOptions } from "../../packages/sagaz/src/runtime/start-options.ts";

/** A storage with nothing in it, and what a test may do to it from outside. */
export interface Room {
  readonly storage: SagaStorage;
  another(): Promise<SagaStorage>;
  loseRows(): Promise<void>;
  begin(): Promise<{
    readonly tx: NonNullable<StartOptions["tx"]>;
    commit(): Promise<void>;
    rollback(): Promise<void>;
  }>;
  /** Runs SQL; only on PostgreSQL. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  close(): Promise<void>;
}
