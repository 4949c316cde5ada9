import { findNats, startNats } from "../../tools/servers/nats.ts";
import { findRedis, startRedis } from "../../tools/servers/redis.ts";
import type { NamedServer } from "../../tools/servers/named-broker.ts";
import type { TestBroker } from "../../tools/servers/scratch-broker.ts";
import type { BareClient } from "./bare-client.ts";
import { openNats, purgeNats } from "./nats-client.ts";
import { openRedis, flushRedis } from "./redis-client.ts";

/** What was found of a broker: how to start it, or why it is not to be had. */
type Found = NamedServer | { readonly program: string } | { readonly missing: string };

/** A broker that the relay is measured with; its name is also its scheme. Another one is another entry. */
export interface MeasuredBroker {
  readonly name: string;
  readonly find: () => Promise<Found>;
  readonly start: (found: NamedServer | { readonly program: string }) => Promise<TestBroker>;
  /** Removes all messages, so that every part begins with an empty broker. */
  readonly empty: (url: string) => Promise<void>;
  /** The driver as a careful user would drive it, without anything of ours. */
  readonly openBare: (url: string) => Promise<BareClient>;
  /** True when the peer has a task that publishes to it. */
  readonly peer?: true;
}

/** All of them. */
export const brokers: readonly MeasuredBroker[] = [
  {
    name: "redis",
    find: () => findRedis({ own: true }),
    // The file would be rewritten at any time, and that in some parts only.
    start: (found) => startRedis(found, { settings: { "auto-aof-rewrite-percentage": 0 } }),
    empty: flushRedis,
    openBare: openRedis,
    peer: true,
  },
  {
    name: "nats",
    find: () => findNats({ own: true }),
    start: (found) => startNats(found),
    empty: purgeNats,
    openBare: openNats,
  },
];

/** @throws Error for a name that is not in the table. */
export function brokerNamed(name: string): MeasuredBroker {
  const broker = brokers.find((one) => one.name === name);
  if (broker === undefined) throw new Error(`There is no broker "${name}".`);
  return broker;
}
