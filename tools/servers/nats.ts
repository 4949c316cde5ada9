import { writeFile } from "node:fs/promises";
import path from "node:path";
import { askServer } from "./ask-server.ts";
import { findProgram, type Search } from "./debian-package.ts";
import { findNamedServer, useNamedServer, type FindBrokerOptions, type NamedServer } from "./named-broker.ts";
import {
  startScratchBroker,
  type BrokerLaunch,
  type BrokerPlace,
  type TestBroker,
} from "./scratch-broker.ts";

/** The environment variable that names a running NATS to use instead of starting one. */
export const natsUrlVariable = "SAGAZ_TEST_NATS_URL";

/** What a test or benchmark wants of its NATS. */
export interface NatsOptions {
  /** How clients must prove themselves; without it nobody is asked. */
  readonly login?: { readonly token: string } | { readonly user: string; readonly password: string };
  /** When JetStream syncs to disk: `always`, or a time such as `2m`, the server's own choice. A kill -9 loses nothing with either. */
  readonly syncInterval?: string;
  /** False: there is none, as by the server's own choice. */
  readonly hasJetStream?: boolean;
}

/** Finds the NATS that the environment names, else the program as {@link findProgram} does. */
export async function findNats(options: FindBrokerOptions = {}): Promise<NamedServer | Search> {
  return (
    findNamedServer(natsUrlVariable, options) ??
    findProgram({ name: "nats-server", debianPackage: "nats-server" })
  );
}

/**
 * Starts a NATS with JetStream; 0.1 s.
 *
 * @throws Error with its log when it does not start.
 */
export async function startNats(
  found: NamedServer | { readonly program: string },
  options: NatsOptions = {},
): Promise<TestBroker> {
  if ("url" in found) return useNamedServer(found, 4222);
  return startScratchBroker({ title: "NATS", prepare: (place) => prepare(place, found.program, options) });
}

async function prepare(place: BrokerPlace, program: string, options: NatsOptions): Promise<BrokerLaunch> {
  const { login = {}, syncInterval, hasJetStream = true } = options;
  const port = await place.takePort();
  const configFile = path.join(place.folder, "nats.conf");
  // Its configuration is a superset of JSON.
  const config = {
    listen: `127.0.0.1:${port}`,
    jetstream: hasJetStream && {
      store_dir: place.folder,
      ...(syncInterval === undefined ? {} : { sync_interval: syncInterval }),
    },
    ...("token" in login || "user" in login ? { authorization: login } : {}),
  };
  await writeFile(configFile, JSON.stringify(config), { mode: 0o644 });
  return {
    command: program,
    args: ["-c", configFile],
    url: `nats://${toUserInfo(login)}127.0.0.1:${port}`,
    port,
    isReady: async () => {
      const isUp = hasJetStream ? /^MSG /m : /^INFO /;
      return (await askServer(port, toJetStreamRequest(login), isUp)) !== undefined;
    },
  };
}

function toUserInfo(login: object): string {
  const parts = Object.values(login as Record<string, string>).map((part) => encodeURIComponent(part));
  return parts.length === 0 ? "" : `${parts.join(":")}@`;
}

/** Asks for the state of JetStream, which answers a little later than the server itself. */
function toJetStreamRequest(login: object): string {
  const { token, user, password } = login as Record<string, string | undefined>;
  const connect = JSON.stringify({ verbose: false, auth_token: token, user, pass: password });
  return `CONNECT ${connect}\r\nSUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\n`;
}
