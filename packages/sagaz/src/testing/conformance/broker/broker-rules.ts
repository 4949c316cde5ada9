import type { BrokerRule } from "./broker-rule.ts";
import { outageRules } from "./outage-rules.ts";
import { publishRules } from "./publish-rules.ts";
import { subscribeRules } from "./subscribe-rules.ts";

/** The contract of `MessageBroker` as rules that every adapter keeps. Those it cannot keep are skipped by name. */
export const brokerRules: readonly BrokerRule[] = [...publishRules, ...subscribeRules, ...outageRules];
