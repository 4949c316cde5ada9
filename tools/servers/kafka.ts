import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { findProgram } from "./debian-package.ts";
import { findKafkaJars } from "./kafka-jars.ts";
import { findNamedServer, useNamedServer, type FindBrokerOptions, type NamedServer } from "./named-broker.ts";
import {
  startScratchBroker,
  type BrokerLaunch,
  type BrokerPlace,
  type TestBroker,
} from "./scratch-broker.ts";
import { serverUser } from "./scratch-folder.ts";

/** The environment variable that names a running Kafka, as `host:port`, to use instead of starting one. */
export const kafkaUrlVariable = "SAGAZ_TEST_KAFKA_URL";

const toolMsMax = 60_000;

/** Java for short lives: what is compiled well is never run long enough to be worth it. */
export const shortLived = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/** What a test or benchmark wants of its Kafka. */
export interface KafkaOptions {
  /** True makes a topic when it is first named; by default whoever wants one creates it. */
  readonly autoCreateTopics?: boolean;
  /** True for benchmarks: Java optimizes the server's code as it runs, and a start takes twice the work. */
  readonly optimize?: boolean;
  /** More settings of the broker. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
}

/** What a Kafka is run with. */
export interface KafkaPrograms {
  /** The Java that runs it. */
  readonly program: string;
  /** The folder of its jars; they hold its command line tools too: `runKafkaTool`. */
  readonly jars: string;
}

/** Finds the Kafka that the environment names, else a Java and Kafka's jars, which are fetched once. Never throws. */
export async function findKafka(
  options: FindBrokerOptions = {},
): Promise<NamedServer | KafkaPrograms | { readonly missing: string }> {
  const named = findNamedServer(kafkaUrlVariable, options);
  if (named !== undefined) return named;
  const java = await findJava();
  if ("missing" in java) return java;
  return { ...java, ...(await findKafkaJars()) };
}

/** The Java of the environment, else one that is installed. Never throws. */
export async function findJava(): Promise<{ readonly program: string } | { readonly missing: string }> {
  const folders = process.env["JAVA_HOME"] ? [path.join(process.env["JAVA_HOME"], "bin")] : [];
  return findProgram({ name: "java", debianPackage: "default-jre-headless", folders });
}

/**
 * Starts one Kafka node that is broker and controller; 3 to 6 s.
 *
 * @throws Error with its log when it does not start.
 */
export async function startKafka(
  found: NamedServer | KafkaPrograms,
  options: KafkaOptions = {},
): Promise<TestBroker> {
  if ("url" in found) return useNamedServer(found, 9092);
  return startScratchBroker({ title: "Kafka", prepare: (place) => prepare(place, found, options) });
}

/** Runs one of Kafka's command line tools, by the name of its class, and gives what it prints. */
export async function runKafkaTool(
  { program, jars }: KafkaPrograms,
  tool: string,
  args: readonly string[],
): Promise<string> {
  const java = [...shortLived, "-XX:-UsePerfData", "-cp", `${jars}/*`, tool];
  const { stdout } = await promisify(execFile)(program, [...java, ...args], {
    timeout: toolMsMax,
    cwd: "/", // ours may be closed to that user
    ...serverUser(),
  });
  return stdout;
}

async function prepare(
  place: BrokerPlace,
  programs: KafkaPrograms,
  options: KafkaOptions,
): Promise<BrokerLaunch> {
  const { folder } = place;
  const [port, controllerPort] = [await place.takePort(), await place.takePort()];
  const settings = { ...toSettings(folder, { port, controllerPort }), ...toChoices(options) };
  const settingsFile = path.join(folder, "server.properties");
  const loggingFile = path.join(folder, "log4j2.properties");
  await writeFile(settingsFile, toProperties(settings), { mode: 0o644 });
  await writeFile(loggingFile, toProperties(logging), { mode: 0o644 });
  const format = ["format", "--cluster-id", "c2FnYXotdGVzdC1rYWZrYQ", "--config", settingsFile];
  await runKafkaTool(programs, "kafka.tools.StorageTool", format);
  return {
    command: programs.program,
    args: [
      "-Xmx512m",
      ...(options.optimize === true ? [] : shortLived),
      "-XX:-UsePerfData", // else files in the temporary folder stay after a kill -9
      `-Djava.io.tmpdir=${folder}`,
      `-Dlog4j2.configurationFile=${loggingFile}`,
      "-cp",
      `${programs.jars}/*`,
      "kafka.Kafka",
      settingsFile,
    ],
    url: `127.0.0.1:${port}`,
    port,
    // Its ports answer before the controller has admitted the broker; this line comes after.
    isReady: async (log) => log.includes("Kafka Server started"),
  };
}

function toSettings(folder: string, ports: { port: number; controllerPort: number }) {
  return {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": `1@127.0.0.1:${ports.controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${ports.port},CONTROLLER://127.0.0.1:${ports.controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${ports.port}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": path.join(folder, "data"),
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    // The controller does not admit a broker again before the session of its killed predecessor is over: 9 s by default.
    "broker.session.timeout.ms": 2_000,
    "broker.heartbeat.interval.ms": 400,
  };
}

function toChoices({ autoCreateTopics = false, settings = {} }: KafkaOptions) {
  return { "auto.create.topics.enable": autoCreateTopics, ...settings };
}

/** Everything but the list of all its settings, to the standard output. */
export const logging = {
  "appender.console.type": "Console",
  "appender.console.name": "console",
  "appender.console.layout.type": "PatternLayout",
  "appender.console.layout.pattern": "[%d] %p %m (%c)%n",
  "rootLogger.level": "INFO",
  "rootLogger.appenderRef.console.ref": "console",
  "logger.settings.name": "org.apache.kafka.common.config",
  "logger.settings.level": "WARN",
};

/** A file of properties, as Java reads it. */
export function toProperties(values: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}
