import { askServer } from "./ask-server.ts";
import { findProgram, type Search } from "./debian-package.ts";
import { findNamedServer, useNamedServer, type FindBrokerOptions, type NamedServer } from "./named-broker.ts";
import {
  startScratchBroker,
  type BrokerLaunch,
  type BrokerPlace,
  type TestBroker,
} from "./scratch-broker.ts";

/** The environment variable that names a running Redis to use instead of starting one. */
export const redisUrlVariable = "SAGAZ_TEST_REDIS_URL";

/** What a test or benchmark wants of its Redis. */
export interface RedisOptions {
  /** Clients must give it; without one nobody is asked. */
  readonly password?: string;
  /** When the append-only file is synced to disk: Redis' own `everysec` by default. A kill -9 loses nothing with either. */
  readonly appendfsync?: "always" | "everysec" | "no";
  /** More settings, passed as `--name value`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** Finds the Redis that the environment names, else the program as {@link findProgram} does. */
export async function findRedis(options: FindBrokerOptions = {}): Promise<NamedServer | Search> {
  return (
    findNamedServer(redisUrlVariable, options) ??
    findProgram({ name: "redis-server", debianPackage: "redis-server" })
  );
}

/**
 * Starts a Redis that keeps its data in an append-only file; 0.2 s.
 *
 * @throws Error with its log when it does not start.
 */
export async function startRedis(
  found: NamedServer | { readonly program: string },
  options: RedisOptions = {},
): Promise<TestBroker> {
  if ("url" in found) return useNamedServer(found, 6379);
  return startScratchBroker({ title: "Redis", prepare: (place) => prepare(place, found.program, options) });
}

async function prepare(place: BrokerPlace, program: string, options: RedisOptions): Promise<BrokerLaunch> {
  const { password = "", appendfsync = "everysec" } = options;
  const port = await place.takePort();
  const settings = {
    port,
    bind: "127.0.0.1",
    dir: place.folder,
    save: "",
    appendonly: "yes",
    appendfsync,
    ...(password === "" ? {} : { requirepass: password }),
    ...options.settings,
  };
  const login = password === "" ? "" : `AUTH ${JSON.stringify(password)}\r\n`;
  return {
    command: program,
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
    url: `redis://${password === "" ? "" : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
    port,
    isReady: async () => (await askServer(port, `${login}PING\r\n`, /^\+PONG/m)) !== undefined,
  };
}
