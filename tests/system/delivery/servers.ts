import { afterAll, beforeAll, inject } from "vitest";
import { startPostgres, type TestPostgres } from "../../../tools/servers/postgres.ts";
import { findRedis, startRedis } from "../../../tools/servers/redis.ts";
import type { TestBroker } from "../../../tools/servers/scratch-broker.ts";

/** What a test that cannot run calls. */
export type Skip = (reason: string) => never;

/** Where a test file's towns live. */
export interface DeliveryServers {
  /** One of the file's own. Skips the test when there is no such broker. */
  broker(skip: Skip): TestBroker;
  readonly databaseServerUrl: string;
}

/** Starts a broker of our own that loses nothing in a kill -9, or tells what is missing for that. */
export type StartBroker = () => Promise<TestBroker | { readonly missing: string }>;

const startDurableRedis: StartBroker = async () => {
  const found = await findRedis({ own: true });
  return "missing" in found ? found : startRedis(found, { appendfsync: "always" });
};

/** Starts a broker for all tests of the calling file. */
export function useServers(start: StartBroker = startDurableRedis): DeliveryServers {
  let broker: TestBroker | undefined;
  let missing = "";
  beforeAll(async () => {
    const started = await start();
    if ("missing" in started) missing = started.missing;
    else broker = started;
  }, 60_000);
  afterAll(() => broker?.stop());
  return {
    broker: (skip) => broker ?? skip(missing),
    get databaseServerUrl() {
      return inject("postgresUrl");
    },
  };
}

/** As {@link useServers}, with a PostgreSQL of the file's own for it to kill. */
export function useServersToBreak(): DeliveryServers & { readonly database: TestPostgres } {
  let database: TestPostgres | undefined;
  const servers = useServers();
  beforeAll(async () => {
    database = await startPostgres({ own: true });
  }, 60_000);
  afterAll(() => database?.stop());
  const running = () => {
    if (!database) throw new Error("PostgreSQL has not been started.");
    return database;
  };
  return {
    broker: (skip) => servers.broker(skip),
    get database() {
      return running();
    },
    get databaseServerUrl() {
      return running().url;
    },
  };
}
