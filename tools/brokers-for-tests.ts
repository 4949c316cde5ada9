import type { TestProject } from "vitest/node";
import { findKafka, startKafka } from "./servers/kafka.ts";
import { findNats, startNats } from "./servers/nats.ts";
import { findRabbitMQ, startRabbitMQ } from "./servers/rabbitmq.ts";
import { findRedis, startRedis } from "./servers/redis.ts";
import type { TestBroker } from "./servers/scratch-broker.ts";

/** A broker that all test files of a run share, or why there is none: the reason goes into the closing lines. */
export type SharedBroker = { readonly url: string } | { readonly missing: string };

declare module "vitest" {
  export interface ProvidedContext {
    /** The Redis of this test run: `inject("redis")`. */
    redis: SharedBroker;
    /** The RabbitMQ of this test run: `inject("rabbitmq")`. */
    rabbitmq: SharedBroker;
    /** The NATS of this test run, with JetStream: `inject("nats")`. */
    nats: SharedBroker;
    /** The Kafka of this test run, which makes no topic by itself: `inject("kafka")`. */
    kafka: SharedBroker;
  }
}

type Missing = { readonly missing: string };

const launchers = {
  redis: () => launch(findRedis, startRedis),
  rabbitmq: () => launch(findRabbitMQ, startRabbitMQ),
  nats: () => launch(findNats, startNats),
  kafka: () => launch(findKafka, startKafka),
};
type Name = keyof typeof launchers;
const names = Object.keys(launchers) as Name[];

async function launch<Found extends object>(
  find: () => Promise<Found | Missing>,
  start: (found: Found) => Promise<TestBroker>,
): Promise<TestBroker | Missing> {
  const found = await find();
  if ("missing" in found) return found;
  return start(found).catch((error: unknown) => {
    // The whole log is worth reading once, and not in the line of every test that is skipped for it.
    console.error(error);
    return { missing: String(error).split("\n")[0] ?? "" };
  });
}

/**
 * The brokers that the selected test files name in their paths; all when a path names none, and when more files may
 * be selected later.
 */
function listWanted(project: TestProject): Name[] {
  const paths = project.vitest.state.getPaths().filter((path) => path.endsWith(".broker.test.ts"));
  const named = paths.map((path) => names.filter((name) => path.toLowerCase().includes(name)));
  const isOpen = project.vitest.config.watch || named.some((found) => found.length === 0);
  return names.filter((name) => isOpen || named.some((found) => found.includes(name)));
}

/** Vitest's global set-up of the tier `brokers`: one server of each kind a run, all started side by side. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const wanted = listWanted(project);
  const brokers = await Promise.all(
    names.map(async (name) => {
      const broker = wanted.includes(name)
        ? await launchers[name]()
        : { missing: `no path of the selected test files names ${name}` };
      project.provide(name, "missing" in broker ? broker : { url: broker.url });
      return broker;
    }),
  );
  return async () => {
    await Promise.all(brokers.map(async (broker) => "stop" in broker && broker.stop()));
  };
}
