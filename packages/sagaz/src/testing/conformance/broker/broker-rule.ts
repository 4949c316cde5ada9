import type { BrokerMessage, MessageBroker } from "../../../ports/broker.ts";
import { toRule } from "../rule.ts";
import type { Rule } from "../rule.ts";

/** One sentence of the broker contract, with the check that it is kept. */
export type BrokerRule = Rule<BrokerUnderTest, BrokerNeed>;

/** What the handle that opens a broker must provide for a rule to mean anything: see {@link BrokerUnderTest}. */
export type BrokerNeed = "outage" | "refused" | "unknownTopic" | "crash";

/** Opens a started broker. */
export type OpenBroker = () => Promise<BrokerUnderTest>;

/** A started broker, with what a rule needs around it. */
export interface BrokerUnderTest {
  readonly broker: MessageBroker;
  /** A broker object that is not started, on the same server: another process. */
  another(): MessageBroker;
  /** The name of a fresh topic that exists, and that nobody else uses. */
  topic(): Promise<string>;
  /** Stops all broker objects, and what was begun with `outage`. */
  close(): Promise<void>;
  /** Need `outage`: takes the server away from all broker objects, and brings it back with its data. */
  readonly outage?: { begin(): Promise<void>; end(): Promise<void> };
  /**
   * True when what was handed over before an outage can still be acknowledged after it, and does not come again, because
   * the broker counts how far a group has come and not what is on its way. Default: it comes again.
   */
  readonly keepsHandedOver?: boolean;
  /** Need `refused`: a message that the broker refuses for good, for this topic and key. */
  readonly refused?: (topic: string, key: string) => BrokerMessage;
  /** Need `unknownTopic`: the name of a topic for which the broker has no place. */
  readonly unknownTopic?: () => string;
  /** Need `crash`: a started broker object whose process dies without a farewell when `die` is called. */
  readonly crash?: () => Promise<{ readonly broker: MessageBroker; die(): Promise<void> }>;
}

/** Makes a rule of a body, which gets a started broker and need not stop it. */
export function rule(
  name: string,
  body: (t: BrokerUnderTest) => Promise<void>,
  needs: readonly BrokerNeed[] = [],
): BrokerRule {
  return toRule({ name, needs, body });
}
