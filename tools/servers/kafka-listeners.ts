import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { findFreePort } from "./free-port.ts";
import { findKafka, startKafka } from "./kafka.ts";
import type { TestBroker } from "./scratch-broker.ts";

/** A Kafka of our own that can be reached in three ways, each given as `host:port`. */
export interface KafkaWithListeners {
  /** To kill it and start it again; `url` and `port` are not its own. */
  readonly kafka: TestBroker;
  readonly plain: string;
  /** By way of the proxy, also when the broker tells where it is. */
  readonly proxied: string;
  readonly proxy: FaultProxy;
  /** Only for the user `sagaz` with the password `s3cret`. */
  readonly sasl: string;
  stop(): Promise<void>;
}

const jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required";

/**
 * Starts a Kafka with a login on one of its listeners and a proxy that does harm before another, or says why there is none.
 * Members of groups may be declared dead after 1 s.
 */
export async function startKafkaWithListeners(): Promise<KafkaWithListeners | { readonly missing: string }> {
  const found = await findKafka({ own: true });
  if ("missing" in found) return found;
  const [plain, controller, behindProxy, sasl] = await takePorts(4);
  const proxy = await startFaultProxy(`kafka://127.0.0.1:${behindProxy}`);
  const listeners = `PLAIN://127.0.0.1:${plain},SASL://127.0.0.1:${sasl}`;
  const settings = {
    listeners: `${listeners},PROXIED://127.0.0.1:${behindProxy},CONTROLLER://127.0.0.1:${controller}`,
    "advertised.listeners": `${listeners},PROXIED://127.0.0.1:${proxy.port}`,
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    "listener.security.protocol.map":
      "PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAIN",
    "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl.plain.sasl.jaas.config": `${jaas} user_sagaz="s3cret";`,
    "group.min.session.timeout.ms": 1_000,
  };
  const kafka = await startKafka(found, { settings }).catch(async (error: unknown) => {
    await proxy.stop();
    throw error;
  });
  return {
    kafka,
    plain: `127.0.0.1:${plain}`,
    proxied: `127.0.0.1:${proxy.port}`,
    proxy,
    sasl: `127.0.0.1:${sasl}`,
    stop: async () => {
      await proxy.stop();
      await kafka.stop();
    },
  };
}

async function takePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await findFreePort());
  return [...ports];
}
