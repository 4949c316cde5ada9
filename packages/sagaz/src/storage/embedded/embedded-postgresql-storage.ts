import { splitOptions, type Wanted } from "../../core/given-options.ts";
import { PostgreSQLStorage, type PostgreSQLStorageOptions } from "../postgres/index.ts";
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from "./embedded-postgres.ts";
import { OwnPool } from "./own-pool.ts";

/** Where the embedded server keeps its data, and how sagas are kept in it. */
export interface EmbeddedPostgreSQLStorageOptions
  extends EmbeddedPostgresOptions, Omit<PostgreSQLStorageOptions, "pool"> {}

const SERVER_WANTED: Wanted<EmbeddedPostgresOptions> = {
  dataDir: "optional",
  maxConnections: "optional",
  startTimeoutMs: "optional",
  binDir: "optional",
};

/**
 * Sagas in a PostgreSQL that needs no set-up: a real server from npm packages, with its data in a folder.
 *
 * `start()` starts the server or joins the one that runs on that folder; `stop()` gives it up, and the last user
 * stops it. What is in the folder outlives both, and a `kill -9` of this process too. Needs the packages `pg` and
 * `@embedded-postgres/<platform>`.
 *
 * @example
 * const storage = new EmbeddedPostgreSQLStorage({ dataDir: ".sagaz/postgres" });
 *
 * @throws SagaError from `start()`: those of {@link startEmbeddedPostgres}, and `SAGAZ_DRIVER_MISSING`.
 */
export class EmbeddedPostgreSQLStorage extends PostgreSQLStorage {
  override readonly name = "embedded PostgreSQL";
  readonly #pool: OwnPool;
  readonly #options: EmbeddedPostgresOptions;
  #server: Promise<EmbeddedPostgres> | undefined;

  constructor(options: EmbeddedPostgreSQLStorageOptions = {}) {
    const [ofServer, ofStorage] = splitOptions(options, SERVER_WANTED);
    const pool = new OwnPool(async () => (await this.#open()).url, ofStorage.connectTimeoutMs);
    super({ ...ofStorage, pool });
    this.#pool = pool;
    this.#options = ofServer;
  }

  /** Starts the server, or joins it; then as every storage in PostgreSQL. */
  override async start(): Promise<void> {
    await this.#open();
    await super.start();
  }

  /** Closes the connections and gives the server up. */
  override async stop(): Promise<void> {
    await super.stop();
    await this.#pool.end();
    const server = this.#server;
    this.#server = undefined;
    await server?.then(
      (running) => running.stop(),
      () => {},
    );
  }

  #open(): Promise<EmbeddedPostgres> {
    this.#server ??= startEmbeddedPostgres(this.#options).catch((error: unknown) => {
      this.#server = undefined;
      throw error;
    });
    return this.#server;
  }
}
