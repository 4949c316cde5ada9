import { findKafka, startKafka } from "../../tools/servers/kafka.ts";
import { findNats, startNats } from "../../tools/servers/nats.ts";
import { findRabbitMQ, startRabbitMQ } from "../../tools/servers/rabbitmq.ts";
import { findRedis, startRedis } from "../../tools/servers/redis.ts";
import type { TestBroker } from "../../tools/servers/scratch-broker.ts";
import type { BareClient } from "./bare-client.ts";
import { emptyTopic, openKafka } from "./kafka-client.ts";
import { openNats, purgeNats } from "./nats-client.ts";
import { openRabbitMQ, purgeRabbitMQ } from "./rabbitmq-client.ts";
import { openRedis, flushRedis } from "./redis-client.ts";

/** A broker's server, as far as a measure needs it. */
export type BrokerServer = Pick<TestBroker, "url" | "stop">;

/** A broker that the relay is measured with; another one is another entry. */
export interface MeasuredBroker {
  readonly name: string;
  /** Starts it, or tells why it is not to be had. Its URL is one that `createBroker` takes. */
  readonly launch: () => Promise<BrokerServer | { readonly missing: string }>;
  /** Makes what messages go to, and removes those of the part before. */
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
    // The file would be rewritten at any time, and that in some parts only.
    launch: launcher(findRedis, (found) =>
      startRedis(found, { settings: { "auto-aof-rewrite-percentage": 0 } }),
    ),
    empty: flushRedis,
    openBare: openRedis,
    peer: true,
  },
  {
    name: "nats",
    launch: launcher(findNats, startNats),
    empty: purgeNats,
    openBare: openNats,
  },
  {
    name: "rabbitmq",
    launch: launcher(findRabbitMQ, startRabbitMQ),
    empty: purgeRabbitMQ,
    openBare: openRabbitMQ,
  },
  {
    name: "kafka",
    launch: launcher(findKafka, async (found) => {
      const server = await startKafka(found, { optimize: true });
      return { url: `kafka://${server.url}`, stop: () => server.stop() };
    }),
    empty: emptyTopic,
    openBare: openKafka,
  },
];

function launcher<Found extends object>(
  find: (options: { readonly own: true }) => Promise<Found | { readonly missing: string }>,
  start: (found: Found) => Promise<BrokerServer>,
): MeasuredBroker["launch"] {
  return async () => {
    const found = await find({ own: true });
    return "missing" in found ? found : start(found);
  };
}

/** @throws Error for a name that is not in the table. */
export function brokerNamed(name: string): MeasuredBroker {
  const broker = brokers.find((one) => one.name === name);
  if (broker === undefined) throw new Error(`There is no broker "${name}".`);
  return broker;
}
