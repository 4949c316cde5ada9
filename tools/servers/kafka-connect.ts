import { writeFile } from "node:fs/promises";
import path from "node:path";
import { findConnectJars, findDebeziumPlugin } from "./kafka-jars.ts";
import { findJava, logging, shortLived, toProperties } from "./kafka.ts";
import {
  startScratchBroker,
  type BrokerLaunch,
  type BrokerPlace,
  type TestBroker,
} from "./scratch-broker.ts";

/** What Kafka Connect is run with. */
export interface ConnectPrograms {
  readonly program: string;
  readonly jars: string;
  /** The folder of its plug-ins: Debezium's connector for PostgreSQL. */
  readonly plugins: string;
}

/** What a test or benchmark wants of its Kafka Connect. */
export interface ConnectOptions {
  /** True for benchmarks: Java optimizes the worker's code as it runs. */
  readonly optimize?: boolean;
}

/** Finds a Java, and the jars of Kafka Connect and Debezium, which are fetched once. Never throws. */
export async function findKafkaConnect(): Promise<ConnectPrograms | { readonly missing: string }> {
  const java = await findJava();
  if ("missing" in java) return java;
  const jars = await findConnectJars();
  if ("missing" in jars) return jars;
  const plugins = await findDebeziumPlugin();
  if ("missing" in plugins) return plugins;
  return { ...java, ...jars, plugins: plugins.jars };
}

/**
 * Starts a worker of Kafka Connect on this Kafka; its `url` answers to HTTP. About 5 s.
 *
 * @throws Error with its log when it does not start.
 */
export function startKafkaConnect(
  found: ConnectPrograms,
  kafka: string,
  options: ConnectOptions = {},
): Promise<TestBroker> {
  const args = options.optimize === true ? ["-Xmx1g"] : ["-Xmx512m", ...shortLived];
  return startScratchBroker({
    title: "Connect",
    prepare: (place) => prepare(place, { ...found, args }, kafka),
  });
}

async function prepare(
  place: BrokerPlace,
  found: ConnectPrograms & { readonly args: readonly string[] },
  kafka: string,
): Promise<BrokerLaunch> {
  const { folder } = place;
  const port = await place.takePort();
  const url = `http://127.0.0.1:${port}`;
  const settingsFile = path.join(folder, "connect.properties");
  const loggingFile = path.join(folder, "log4j2.properties");
  await writeFile(settingsFile, toProperties(toSettings(found, kafka, url)), { mode: 0o644 });
  await writeFile(loggingFile, toProperties(logging), { mode: 0o644 });
  return {
    command: found.program,
    args: [
      ...found.args,
      "-XX:-UsePerfData",
      `-Djava.io.tmpdir=${folder}`,
      `-Dlog4j2.configurationFile=${loggingFile}`,
      "-cp",
      `${found.jars}/*`,
      "org.apache.kafka.connect.cli.ConnectDistributed",
      settingsFile,
    ],
    url,
    port,
    isReady: async () => (await fetch(`${url}/connectors`).catch(() => undefined))?.ok === true,
  };
}

function toSettings({ plugins }: ConnectPrograms, kafka: string, url: string) {
  return {
    "bootstrap.servers": kafka,
    "group.id": "connect",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "config.storage.topic": "connect-configs",
    "config.storage.replication.factor": 1,
    "offset.storage.topic": "connect-offsets",
    "offset.storage.replication.factor": 1,
    "offset.storage.partitions": 1,
    "status.storage.topic": "connect-status",
    "status.storage.replication.factor": 1,
    "status.storage.partitions": 1,
    "offset.flush.interval.ms": 2_000,
    "plugin.path": plugins,
    "plugin.discovery": "service_load",
    "connector.client.config.override.policy": "All",
    listeners: url,
    "rest.advertised.host.name": "127.0.0.1",
  };
}
