import { assign } from "./assign.ts";
import { Coordinator } from "./coordinator.ts";
import type { Cluster } from "./cluster.ts";
import { codes } from "./error-codes.ts";
import {
  decodeAssignment,
  decodeWishes,
  encodeAssignment,
  encodeWishes,
  type Partitions,
} from "./group-protocol.ts";
import { findProgress, toCommit, type Progress } from "./progress.ts";
import type { Topics } from "./topics.ts";

/** Which group, and what is wanted of it. */
export interface MembershipOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** A member that is not heard of for so long is taken for dead. */
  readonly sessionTimeoutMs: number;
}

const protocolType = "consumer";
const protocol = "sagaz-sticky";

const placeIsGone: ReadonlySet<number> = new Set([
  codes.illegalGeneration,
  codes.unknownMember,
  codes.rebalanceInProgress,
]);

/**
 * A place in a consumer group, by the classic protocol (JoinGroup, SyncGroup, Heartbeat): brokers of 3.x and of 4.x have
 * it. KIP-848, where the broker assigns, is ready in none before 4.0.
 *
 * All its requests throw `SAGAZ_BROKER_UNAVAILABLE` when the group cannot be reached.
 */
export class Membership {
  readonly #coordinator: Coordinator;
  readonly #topics: Topics;
  readonly #options: MembershipOptions;
  #memberId = "";
  #generation = -1;

  constructor(cluster: Cluster, topics: Topics, options: MembershipOptions) {
    this.#coordinator = new Coordinator(cluster, options.group, options.sessionTimeoutMs);
    this.#topics = topics;
    this.#options = options;
  }

  /** Who we are, and since which assignment: the next one has the next number. */
  get standing(): { readonly memberId: string; readonly generation: number } {
    return { memberId: this.#memberId, generation: this.#generation };
  }

  /** Takes part in the next assignment, and answers what is ours then. `owned`: what was ours until now. */
  async join(owned: Partitions): Promise<Partitions> {
    const { group, topics, sessionTimeoutMs } = this.#options;
    const api = this.#coordinator.kafka.joinGroupV7;
    const protocols = [{ name: protocol, metadata: encodeWishes({ topics, owned }) }];
    for (;;) {
      const who = [group, sessionTimeoutMs, sessionTimeoutMs, this.#memberId, null] as const;
      const joined = await this.#coordinator.await(api, ...who, protocolType, protocols);
      if (joined.errorCode === codes.memberIdRequired) this.#memberId = joined.memberId ?? "";
      else if (this.#isMember(joined.errorCode)) {
        this.#memberId = joined.memberId ?? "";
        const isLeader = joined.leader === this.#memberId;
        const assigned = await this.#sync(
          joined.generationId,
          isLeader ? await this.#assign(joined.members) : [],
        );
        if (assigned) return assigned;
      }
    }
  }

  /** Undefined when the members have to join again. */
  async #sync(
    generation: number,
    assignments: { memberId: string; assignment: Buffer }[],
  ): Promise<Partitions | undefined> {
    const who = [this.#options.group, generation, this.#memberId, null] as const;
    const api = this.#coordinator.kafka.syncGroupV5;
    const answer = await this.#coordinator.await(api, ...who, protocolType, protocol, assignments);
    if (!this.#isMember(answer.errorCode)) return undefined;
    this.#generation = generation;
    return decodeAssignment(answer.assignment);
  }

  /** The leader of the group shares the work out. */
  async #assign(
    members: readonly { readonly memberId: string; readonly metadata: Buffer | null }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const known = members.map(({ memberId, metadata }) => ({
      id: memberId,
      ...decodeWishes(metadata),
    }));
    const found = await this.#topics.find(known.flatMap(({ topics }) => topics));
    const counts = new Map<string, number>();
    for (const [topic, count] of found) {
      if (typeof count === "number") counts.set(topic, count);
      else if (count.retryable) throw count; // a topic that does not exist has no partitions
    }
    return Array.from(assign(known, counts), ([memberId, partitions]) => ({
      memberId,
      assignment: encodeAssignment(partitions),
    }));
  }

  /** Says that we live. False: the members have to join again. */
  async heartbeat(): Promise<boolean> {
    const beat = [this.#options.group, this.#generation, this.#memberId, null] as const;
    return this.#isMember(
      (await this.#coordinator.ask(this.#coordinator.kafka.heartbeatV4, ...beat)).errorCode,
    );
  }

  /** Records how far the group has come. False: it was not recorded, the members have to join again. */
  async commit(progress: readonly Progress[]): Promise<boolean> {
    const who = [this.#options.group, this.#generation, this.#memberId, null] as const;
    const api = this.#coordinator.kafka.offsetCommitV8;
    const { topics } = await this.#coordinator.ask(api, ...who, toCommit(progress));
    const answers = topics.flatMap(({ partitions }) => partitions);
    return answers.every(({ errorCode }) => this.#isMember(errorCode));
  }

  /** How far the group has come in these partitions; what it has not begun is left out. */
  findProgress(wanted: readonly Pick<Progress, "topic" | "partition">[]): Promise<readonly Progress[]> {
    return findProgress(this.#coordinator, wanted);
  }

  /** Leaves our part to the others at once. */
  async leave(): Promise<void> {
    const memberId = this.#memberId;
    this.#memberId = "";
    if (memberId === "") return;
    await this.#coordinator.ask(this.#coordinator.kafka.leaveGroupV4, this.#options.group, [{ memberId }]);
  }

  /** Ends whatever is under way with an error. */
  interrupt(): void {
    this.#coordinator.interrupt();
  }

  /** False when our place is gone, or not what it was. */
  #isMember(errorCode: number): boolean {
    if (errorCode === codes.unknownMember) this.#memberId = "";
    if (placeIsGone.has(errorCode)) return false;
    this.#coordinator.check(errorCode);
    return true;
  }
}
