import type { Cluster } from "./cluster.ts";
import { Connections, type Access, type Address } from "./connections.ts";
import type { Request } from "./driver.ts";
import { codes, toSentence, unavailable } from "./error-codes.ts";

const keyTypeOfGroups = 0;

const isElsewhere: ReadonlySet<number> = new Set([
  codes.coordinatorLoading,
  codes.coordinatorNotAvailable,
  codes.notCoordinator,
]);

/**
 * The broker that keeps a group. Another one may do so at any time.
 *
 * What is asked throws `SAGAZ_BROKER_UNAVAILABLE` when it cannot be reached, or does not keep the group any more; the next
 * request looks for it anew.
 */
export class Coordinator {
  readonly group: string;
  readonly #cluster: Cluster;
  readonly #connections: Connections;
  /** Here an answer comes when all members have come, and nothing else meanwhile. */
  readonly #waiting: Connections;
  #address: Address | undefined;

  constructor(cluster: Cluster, group: string, waitMsMax: number) {
    this.group = group;
    this.#cluster = cluster;
    this.#connections = new Connections(cluster.access);
    this.#waiting = new Connections(cluster.access, waitMsMax);
  }

  get kafka(): Access["kafka"] {
    return this.#cluster.access.kafka;
  }

  ask<Args extends unknown[], Answer>(request: Request<Args, Answer>, ...args: Args): Promise<Answer> {
    return this.#ask(this.#connections, request, args);
  }

  /** Asks what is answered when all members of the group have asked it. */
  await<Args extends unknown[], Answer>(request: Request<Args, Answer>, ...args: Args): Promise<Answer> {
    return this.#ask(this.#waiting, request, args);
  }

  /** Throws what an answer says, unless it says nothing bad. */
  check(errorCode: number): void {
    if (errorCode === codes.none) return;
    if (isElsewhere.has(errorCode)) this.#address = undefined;
    throw unavailable(`group "${this.group}": ${toSentence(errorCode)}`);
  }

  /** Ends whatever is under way with an error. */
  interrupt(): void {
    this.#waiting.close();
    this.#connections.close();
  }

  async #ask<Args extends unknown[], Answer>(
    connections: Connections,
    request: Request<Args, Answer>,
    args: Args,
  ): Promise<Answer> {
    const address = (this.#address ??= await this.#find());
    try {
      return await connections.ask(address, request, ...args);
    } catch (error) {
      this.#address = undefined;
      throw unavailable(error);
    }
  }

  async #find(): Promise<Address> {
    const { coordinators } = await this.#cluster.askAny(this.kafka.findCoordinatorV4, keyTypeOfGroups, [
      this.group,
    ]);
    const [found] = coordinators;
    if (!found) throw unavailable(`nobody keeps group "${this.group}"`);
    this.check(found.errorCode);
    return found;
  }
}
