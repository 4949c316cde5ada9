import { writeFile } from "node:fs/promises";
import path from "node:path";
import { findProgram, type Search } from "./debian-package.ts";
import { findNamedServer, useNamedServer, type FindBrokerOptions, type NamedServer } from "./named-broker.ts";
import {
  startScratchBroker,
  toLogFile,
  type BrokerLaunch,
  type BrokerPlace,
  type TestBroker,
} from "./scratch-broker.ts";
import { startServerProcess, type ServerProcess } from "./server-process.ts";

/** The environment variable that names a running RabbitMQ to use instead of starting one. */
export const rabbitMQUrlVariable = "SAGAZ_TEST_RABBITMQ_URL";

/** What a test or benchmark wants of its RabbitMQ. */
export interface RabbitMQOptions {
  /** More lines of its configuration, `name = value`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** Finds the RabbitMQ that the environment names, else the program as {@link findProgram} does. */
export async function findRabbitMQ(options: FindBrokerOptions = {}): Promise<NamedServer | Search> {
  return (
    findNamedServer(rabbitMQUrlVariable, options) ??
    // Debian's script of that name in PATH insists on a user of its own; the one that it calls does not.
    findProgram({
      name: "rabbitmq-server",
      debianPackage: "rabbitmq-server",
      folders: ["/usr/lib/rabbitmq/bin"],
    })
  );
}

/**
 * Starts a RabbitMQ without plugins, with the user `guest` and its password `guest`; 5 s.
 *
 * @throws Error with its log when it does not start.
 */
export async function startRabbitMQ(
  found: NamedServer | { readonly program: string },
  options: RabbitMQOptions = {},
): Promise<TestBroker> {
  if ("url" in found) return useNamedServer(found, 5672);
  return startScratchBroker({
    title: "RabbitMQ",
    prepare: (place) => prepare(place, found.program, options),
  });
}

async function prepare(place: BrokerPlace, program: string, options: RabbitMQOptions): Promise<BrokerLaunch> {
  const { folder } = place;
  const [port, distributionPort, namesPort] = [
    await place.takePort(),
    await place.takePort(),
    await place.takePort(),
  ];
  const settings = { "listeners.tcp.local": `127.0.0.1:${port}`, ...options.settings };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  await writeFile(path.join(folder, "rabbitmq.conf"), lines.join(""), { mode: 0o644 });
  await writeFile(path.join(folder, "enabled_plugins"), "[].\n", { mode: 0o644 });
  const names = { ERL_EPMD_PORT: String(namesPort), ERL_EPMD_ADDRESS: "127.0.0.1" };
  return {
    command: program,
    args: [],
    env: { ...names, ...toEnvironment(folder, distributionPort) },
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    // It listens a moment before it is through with starting; this line comes after.
    isReady: async (log) => log.includes("Server startup complete"),
    companion: await startNameServer(folder, names),
  };
}

function toEnvironment(folder: string, distributionPort: number): Record<string, string> {
  return {
    HOME: folder,
    RABBITMQ_NODENAME: "sagaz@localhost",
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_MNESIA_BASE: path.join(folder, "data"),
    RABBITMQ_LOG_BASE: folder,
    RABBITMQ_LOGS: "-",
    RABBITMQ_CONFIG_FILE: path.join(folder, "rabbitmq.conf"),
    RABBITMQ_CONF_ENV_FILE: path.join(folder, "no-file"),
    RABBITMQ_ENABLED_PLUGINS_FILE: path.join(folder, "enabled_plugins"),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
    // Its script then becomes the server instead of staying in front of it: the pid is the server's.
    RUNNING_UNDER_SYSTEMD: "true",
  };
}

/** Erlang's name server. A broker that finds none starts one that nobody stops; ours is under guard like the broker. */
function startNameServer(folder: string, env: Record<string, string>): Promise<ServerProcess> {
  return startServerProcess({
    command: "epmd",
    args: [],
    env,
    cwd: folder,
    logFile: toLogFile(folder),
    guardSignal: "KILL",
  });
}
