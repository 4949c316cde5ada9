import type { BrokerMessage } from "sagaz";

/** A broker's driver by itself. */
export interface BareClient {
  /** Resolves when the broker has them all. */
  publish(messages: readonly BrokerMessage[]): Promise<void>;
  close(): Promise<void>;
}
