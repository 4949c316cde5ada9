import { SagaError } from "../../../core/errors.ts";
import type { PgConnection, PgPool, PgSubmittable } from "../pool.ts";

/** The part of a `pg` client on a replication connection that is used. Typed by structure, as the pool is. */
export interface PgReplicationClient {
  connect(): Promise<unknown>;
  query(text: string): Promise<unknown>;
  query(query: PgSubmittable): unknown;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
}

/** How a client of `pg` is made. */
type ClientMaker = new (settings: object) => PgReplicationClient;

/** What a connection of `pg` tells of itself. */
interface KnownConnection {
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly database?: string;
  readonly password?: unknown;
  readonly ssl?: unknown;
  readonly constructor: unknown;
}

/**
 * A client for replication to where a pool's connection goes: the pool itself cannot open one. A password that the pool asks
 * for, each time anew, is asked for here too: that of the connection may be old.
 *
 * @throws SagaError `SAGAZ_CDC_UNAVAILABLE` when the connection is not one of `pg`.
 */
export function likeConnection(connection: PgConnection, pool: PgPool): PgReplicationClient {
  const {
    host,
    port,
    user,
    database,
    ssl,
    password: last,
    constructor,
  } = connection as unknown as KnownConnection;
  if (host === undefined || database === undefined || typeof constructor !== "function") {
    const why = "the pool's connections do not tell where they go";
    throw new SagaError("SAGAZ_CDC_UNAVAILABLE", { why, advice: "Pass replicationClient to the storage" });
  }
  const asked = pool.options?.password;
  const password = typeof asked === "function" ? asked : last;
  const settings = { host, port, user, database, password, ssl, replication: "database", keepAlive: true };
  return new (constructor as ClientMaker)(settings);
}
