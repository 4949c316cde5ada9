import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { findProgram } from "./debian-package.ts";
import { everyoneMayPass, serverUser } from "./scratch-folder.ts";

const fetchTimeoutMs = 300_000;

/** 4.4.0 does not resolve from Maven Central. */
const kafkaVersion = "4.3.1";

const logging = ["org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"]; // without it nothing is logged
const kafka = [
  ["org.apache.kafka", "kafka_2.13", kafkaVersion],
  ["org.apache.kafka", "kafka-tools", kafkaVersion],
  logging,
];
const connect = [["org.apache.kafka", "connect-runtime", kafkaVersion], logging];

const debeziumVersion = "3.7.0.Final";
const plugin = `io.debezium:debezium-connector-postgres:${debeziumVersion}:tar.gz:plugin`;
const dependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/** The folder with jars, or why there is none. */
export type JarSearch = { readonly jars: string } | { readonly missing: string };

/**
 * Finds Kafka's jars in the user's cache; Maven fetches them there once, 55 MB. Two that fetch at the same time do not
 * disturb each other: a folder takes its name only when it is complete.
 *
 * Never throws: where they cannot be had, `missing` says why.
 */
export function findKafkaJars(): Promise<JarSearch> {
  return find(`kafka-${kafkaVersion}`, (maven, draft) => fetchJars(maven, draft, kafka));
}

/** The same for the jars of Kafka Connect: 36 MB. */
export function findConnectJars(): Promise<JarSearch> {
  return find(`kafka-connect-${kafkaVersion}`, (maven, draft) => fetchJars(maven, draft, connect));
}

/** The same for the folder of Debezium's connector for PostgreSQL, as a plug-in of Connect: 5 MB. */
export function findDebeziumPlugin(): Promise<JarSearch> {
  return find(`debezium-${debeziumVersion}`, async (maven, draft) => {
    const folder = path.join(draft, "plugins");
    await run(maven, draft, [
      `${dependencies}:unpack`,
      `-Dartifact=${plugin}`,
      `-DoutputDirectory=${folder}`,
    ]);
    return folder;
  });
}

async function find(
  name: string,
  fetch: (maven: string, draft: string) => Promise<string>,
): Promise<JarSearch> {
  try {
    const jars = path.join(await findCache(), name);
    if (existsSync(jars)) return { jars };
    const maven = await findProgram({ name: "mvn", debianPackage: "maven" });
    if ("missing" in maven) return maven;
    const cache = path.dirname(jars);
    await mkdir(cache, { recursive: true });
    const draft = await mkdtemp(path.join(cache, "fetching-"));
    try {
      await rename(await fetch(maven.program, draft), jars).catch((error: unknown) => {
        // Somebody else was faster, with the same jars.
        if (!existsSync(jars)) throw error;
      });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    return { jars };
  } catch (error) {
    return { missing: `${name} cannot be fetched: ${(error as Error).message.split("\n")[0]}` };
  }
}

/** The user's cache; that of the machine when we are root and the server's user cannot reach ours. */
async function findCache(): Promise<string> {
  const own = process.env["XDG_CACHE_HOME"] || path.join(homedir(), ".cache");
  const isReachable = serverUser() === undefined || (await everyoneMayPass(toExisting(own)));
  return path.join(isReachable ? own : "/var/cache", "sagaz");
}

/** That folder, or the nearest above it that is there already. */
function toExisting(folder: string): string {
  return existsSync(folder) ? folder : toExisting(path.dirname(folder));
}

async function fetchJars(
  maven: string,
  draft: string,
  artifacts: readonly (readonly string[])[],
): Promise<string> {
  const pom = path.join(draft, "pom.xml");
  const libs = path.join(draft, "libs");
  await writeFile(pom, toPom(artifacts));
  const goal = `${dependencies}:copy-dependencies`;
  await run(maven, draft, ["-f", pom, goal, `-DoutputDirectory=${libs}`, "-DincludeScope=runtime"]);
  return libs;
}

/** In the draft's folder, where Maven leaves notes of its own. */
async function run(maven: string, draft: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(maven, ["-q", "-B", ...args], { cwd: draft, timeout: fetchTimeoutMs });
}

function toPom(artifacts: readonly (readonly string[])[]): string {
  const needed = artifacts.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>sagaz</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${needed.join("\n")}</dependencies>
</project>
`;
}
