import { EventEmitter } from "node:events";
import type * as driver from "pg";
import { SagaError } from "../../core/errors.ts";
import type { PgConnection, PgPool } from "../postgres/index.ts";

/** A pool that can be ended, as `pg` makes it. */
interface EndablePool extends PgPool {
  end(): Promise<void>;
}

/**
 * A pool of our own, for those who have a URL and no pool: opened when it is first needed, and again after it was
 * ended. The driver is loaded then and not before.
 */
export class OwnPool extends EventEmitter implements PgPool {
  readonly options = { max: 10 };
  #opened: Promise<EndablePool> | undefined;
  readonly #findUrl: () => Promise<string>;

  readonly #connectTimeoutMs: number;

  /** `findUrl` is asked each time that the pool is opened. */
  constructor(findUrl: () => Promise<string>, connectTimeoutMs = 5_000) {
    super();
    this.#findUrl = findUrl;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  async connect(): Promise<PgConnection> {
    this.#opened ??= this.#open();
    try {
      return await (await this.#opened).connect();
    } catch (error) {
      // What could not be opened is tried anew; an open pool stays.
      await this.#opened?.catch(() => (this.#opened = undefined));
      throw error;
    }
  }

  /** Closes its connections. Safe twice, and when it was never opened. */
  async end(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then(
      (pool) => pool.end(),
      () => {},
    );
  }

  async #open(): Promise<EndablePool> {
    const { default: pg } = await loadDriver();
    const connectionString = await this.#findUrl();
    // A script that has nothing left to do may end although connections are open.
    const pool = new pg.Pool({
      connectionString,
      max: this.options.max,
      // Else a server that takes connections and answers nothing would keep them, and `end` with them, for ever.
      connectionTimeoutMillis: this.#connectTimeoutMs,
      allowExitOnIdle: true,
    });
    pool.on("connect", (connection) => this.emit("connect", connection));
    pool.on("error", (error) => {
      if (this.listenerCount("error") > 0) this.emit("error", error);
    });
    return pool;
  }
}

async function loadDriver(): Promise<typeof driver> {
  try {
    return await import("pg");
  } catch (cause) {
    throw new SagaError("SAGAZ_DRIVER_MISSING", { driver: "pg", what: "PostgreSQL" }, { cause });
  }
}
