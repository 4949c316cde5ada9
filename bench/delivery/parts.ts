import { brokers } from "./brokers.ts";

/** What can be measured by itself: the relay to nobody, to each broker, after a history, and the rest. */
export type Part = string;

/** The names that `--only` takes. */
export const partNames: readonly Part[] = [
  "noop",
  "history",
  ...brokers.map(({ name }) => name),
  "producer",
  "steps",
  "notify",
  "optimistic",
  "inbox",
  "cdc",
  "debezium",
  "cdc-latency",
  "cdc-kill",
];
