import { SagaError } from "../core/errors.ts";
import type { MessageBroker } from "../ports/broker.ts";

/** How to open a broker, by the scheme of its URL. Adapters and drivers are loaded when they are asked for. */
const openers: Readonly<Record<string, (url: string) => Promise<MessageBroker>>> = {
  "redis:": openRedis,
  "rediss:": openRedis,
  "nats:": openNats,
  "tls:": openNats,
  "kafka:": openKafka,
  "kafkas:": openKafka,
  "amqp:": openRabbitMQ,
  "amqps:": openRabbitMQ,
  "memory:": openMemory,
};

/**
 * Makes the broker that a URL names; it is started by whoever uses it.
 *
 * `redis://user:password@host:6379/0`, or `rediss://` over TLS (needs the package `ioredis`) ·
 * `amqp://user:password@host:5672/vhost`, or `amqps://` over TLS (RabbitMQ; needs the package `amqplib`) ·
 * `nats://user:password@host:4222` or `nats://token@host:4222`, or `tls://` as NATS calls it over TLS (needs the package
 * `@nats-io/transport-node`) ·
 * `kafka://user:password@host:9092,host:9092`, or `kafkas://` over TLS, `?sasl=scram-sha-256|scram-sha-512` for another login
 * than `plain` (needs the package `@platformatic/kafka`) · `memory:`.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_BROKER`, `SAGAZ_INVALID_OPTION` for what cannot be read, `SAGAZ_DRIVER_MISSING`. No error
 * shows the URL: there may be a password in it.
 */
export async function createBroker(url: string): Promise<MessageBroker> {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0].toLowerCase() ?? "";
  const open = Object.hasOwn(openers, scheme) ? openers[scheme] : undefined;
  if (open === undefined)
    throw new SagaError("SAGAZ_UNKNOWN_BROKER", { scheme, known: Object.keys(openers).join(" ") });
  return open(url);
}

async function openRedis(url: string): Promise<MessageBroker> {
  checkUrl(url);
  const { Redis } = await load(() => import("ioredis"), { driver: "ioredis", what: "Redis" });
  const { RedisBroker } = await import("./redis/index.ts");
  return new RedisBroker({ client: new Redis(url, { lazyConnect: true }) });
}

async function openNats(url: string): Promise<MessageBroker> {
  checkUrl(url);
  const { protocol, hostname, port, username, password } = new URL(url);
  const driver = "@nats-io/transport-node";
  const nats = await load(() => import("@nats-io/transport-node"), { driver, what: "NATS" });
  const { NatsBroker } = await import("./nats/index.ts");
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
  const connection = {
    servers: `${hostname}:${port === "" ? 4222 : port}`,
    ...(pass === "" ? {} : { user, pass }),
    ...(pass === "" && user !== "" ? { token: user } : {}),
    ...(protocol === "tls:" ? { tls: {} } : {}),
  };
  return new NatsBroker({ nats, connection });
}

async function openRabbitMQ(url: string): Promise<MessageBroker> {
  checkUrl(url);
  const { connect } = await load(() => import("amqplib"), { driver: "amqplib", what: "RabbitMQ" });
  const { RabbitMQBroker } = await import("./rabbitmq/index.ts");
  return new RabbitMQBroker({ connect: (options) => connect(url, options) });
}

async function openMemory(): Promise<MessageBroker> {
  const { InMemoryBroker } = await import("./memory/index.ts");
  return new InMemoryBroker();
}

/** The driver would tell what it cannot read, password and all. */
function checkUrl(url: string): void {
  if (URL.canParse(url) && !hasStrayPercent(new URL(url))) return;
  const details = {
    where: "createBroker",
    option: "url",
    value: `${url.split(":")[0]}:…`,
    rule: "it must be a URL, with user and password percent-encoded",
  };
  throw new SagaError("SAGAZ_INVALID_OPTION", details);
}

function hasStrayPercent({ username, password }: URL): boolean {
  return /%(?![0-9a-f]{2})/i.test(username + password);
}

async function openKafka(url: string): Promise<MessageBroker> {
  const { fromUrl } = await import("./kafka/from-url.ts");
  const options = fromUrl(url);
  const kafka = await load(() => import("@platformatic/kafka"), {
    driver: "@platformatic/kafka",
    what: "Kafka",
  });
  const { KafkaBroker } = await import("./kafka/index.ts");
  return new KafkaBroker({ kafka, ...options });
}

async function load<Driver>(
  importDriver: () => Promise<Driver>,
  details: { readonly driver: string; readonly what: string },
): Promise<Driver> {
  try {
    return await importDriver();
  } catch (cause) {
    throw new SagaError("SAGAZ_DRIVER_MISSING", details, { cause });
  }
}
