import { isIP } from "node:net";
import type { ConnectionOptions as TlsOptions } from "node:tls";
import type { Connection, KafkaDriver, Request } from "./driver.ts";

/** Where a broker listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A login. */
export interface KafkaSasl {
  /** Default `PLAIN`, which shows the password to who listens, unless there is `tls`. */
  readonly mechanism?: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
  readonly username: string;
  readonly password: string;
}

/** How brokers are reached. */
export interface Access {
  readonly kafka: KafkaDriver;
  readonly clientId: string;
  readonly sasl: KafkaSasl | undefined;
  readonly tls: TlsOptions | undefined;
  readonly answerTimeoutMs: number;
}

/**
 * Connections for one purpose, one to each broker, opened when they are needed.
 *
 * A broker answers the requests of one connection one after the other, and some take long (waiting for messages, or for
 * the other members of a group): what must not wait for those has connections of its own.
 */
export class Connections {
  readonly #access: Access;
  readonly #requestTimeoutMs: number;
  readonly #open = new Map<string, Promise<Connection>>();

  /** `waitMsMax`: how much longer than usual a broker may take for an answer. */
  constructor(access: Access, waitMsMax = 0) {
    this.#access = access;
    this.#requestTimeoutMs = access.answerTimeoutMs + waitMsMax;
  }

  /**
   * Asks, and gives the answer also when it has errors in it.
   *
   * @throws Error when there is no answer: the request may have been carried out.
   */
  async ask<Args extends unknown[], Answer>(
    address: Address,
    request: Request<Args, Answer>,
    ...args: Args
  ): Promise<Answer> {
    const connection = await this.#get(address);
    try {
      return await request.api.async(connection, ...args);
    } catch (error) {
      if (error instanceof Error && "response" in error) return error.response as Answer;
      // An answer that comes late would be taken for the next one's.
      connection.socket.destroy();
      throw error;
    }
  }

  /** Breaks all of them; whoever waits for an answer gets an error. They can be used again. */
  close(): void {
    const connections = [...this.#open.values()];
    this.#open.clear();
    for (const opening of connections) void opening.then(({ socket }) => socket.destroy()).catch(() => {});
  }

  #get(address: Address): Promise<Connection> {
    const name = `${address.host}:${address.port}`;
    const known = this.#open.get(name);
    if (known) return known;
    const opening = this.#connect(address, () => {
      if (this.#open.get(name) === opening) this.#open.delete(name);
    });
    this.#open.set(name, opening);
    return opening;
  }

  async #connect({ host, port }: Address, forget: () => void): Promise<Connection> {
    const { kafka, clientId, sasl, tls, answerTimeoutMs } = this.#access;
    const connection = new kafka.Connection(clientId, {
      connectTimeout: answerTimeoutMs,
      requestTimeout: this.#requestTimeoutMs,
      ...(sasl && { sasl: { mechanism: "PLAIN", ...sasl } }),
      ...(tls && { tls, tlsServerName: isIP(host) === 0 }),
    });
    connection.on("close", forget);
    connection.on("error", forget); // besides, one that nobody listens to would end the process
    try {
      await connection.connect(host, port);
    } catch (error) {
      forget();
      connection.socket?.destroy();
      throw error;
    }
    return connection;
  }
}
