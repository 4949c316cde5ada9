import { SagaError } from "../../core/errors.ts";
import { Connections, type Access, type Address } from "./connections.ts";
import type { Request } from "./driver.ts";
import { unavailable } from "./error-codes.ts";

/** The brokers of a cluster: those that were named, and those that they tell of. */
export class Cluster {
  readonly access: Access;
  /** For short questions. */
  readonly #connections: Connections;
  readonly #servers: readonly Address[];
  #brokers = new Map<number, Address>();
  #controller: Address | undefined;
  #turn = 0;

  constructor(access: Access, servers: readonly string[]) {
    this.access = access;
    this.#connections = new Connections(access);
    this.#servers = servers.map(toAddress);
  }

  /** The address of a broker, if it is known. */
  find(nodeId: number): Address | undefined {
    return this.#brokers.get(nodeId);
  }

  /**
   * Asks one broker after the other until one answers; who answered is asked first the next time.
   *
   * @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`
   */
  async askAny<Args extends unknown[], Answer>(
    request: Request<Args, Answer>,
    ...args: Args
  ): Promise<Answer> {
    const all = [...this.#servers, ...this.#brokers.values()];
    let failure: unknown;
    for (let tries = 0; tries < all.length; tries++, this.#turn++) {
      const address = all[this.#turn % all.length];
      if (!address) continue;
      try {
        return await this.#connections.ask(address, request, ...args);
      } catch (error) {
        failure = error;
      }
    }
    throw unavailable(failure);
  }

  /**
   * Asks the broker that administers the cluster.
   *
   * @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`
   */
  async askController<Args extends unknown[], Answer>(
    request: Request<Args, Answer>,
    ...args: Args
  ): Promise<Answer> {
    if (!this.#controller) return this.askAny(request, ...args);
    return this.#connections.ask(this.#controller, request, ...args).catch((error: unknown) => {
      throw unavailable(error);
    });
  }

  /** Asks who the brokers are, and where the topics. */
  async look(topics: readonly string[]): Promise<readonly TopicAnswer[]> {
    const answer = await this.askAny(this.access.kafka.metadataV12, [...topics], false);
    this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    this.#controller = this.#brokers.get(answer.controllerId);
    return answer.topics;
  }

  close(): void {
    this.#connections.close();
  }
}

/** What the brokers say of a topic. */
export interface TopicAnswer {
  readonly errorCode: number;
  readonly name?: string | null | undefined;
  readonly partitions: readonly { readonly partitionIndex: number; readonly leaderId: number }[];
}

const portOfKafka = 9092;

function toAddress(server: string): Address {
  const [, v6, name, port] = /^(?:\[([\da-f:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/i.exec(server) ?? [];
  const host = v6 ?? name;
  if (host !== undefined) return { host, port: Number(port ?? portOfKafka) };
  throw new SagaError("SAGAZ_INVALID_OPTION", {
    where: "KafkaBroker",
    option: "servers",
    value: "something else", // it may be a URL with a password in it
    rule: "each server is host:port",
  });
}
