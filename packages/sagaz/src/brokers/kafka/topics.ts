import { setTimeout as pause } from "node:timers/promises";
import { SagaError } from "../../core/errors.ts";
import type { Cluster, TopicAnswer } from "./cluster.ts";
import type { Address } from "./connections.ts";
import { codes, toSentence, unavailable } from "./error-codes.ts";

/** How missing topics are created. */
export interface KafkaNewTopics {
  /** So many members of a group, at most, can share the work of a topic. */
  readonly partitions: number;
  /** On so many brokers each message is kept. */
  readonly replicas: number;
}

/** The number of a topic's partitions does not often change, and leaders that do are noticed otherwise. */
const placeMsMax = 10_000;
/** A topic is not unknown before that has been said several times: of a new one, brokers hear one after the other. */
const asksMax = 4;
const askEveryMs = 100;

/** Where topics are. What was found is remembered for a while. */
export class Topics {
  readonly #cluster: Cluster;
  readonly #newTopics: KafkaNewTopics | undefined;
  /** For each topic the broker that leads each of its partitions, and when that was heard. */
  readonly #places = new Map<string, { readonly leaders: readonly number[]; readonly at: number }>();
  readonly #wanted = new Set<string>();
  #renewing: Promise<void> | undefined;

  constructor(cluster: Cluster, newTopics: KafkaNewTopics | undefined) {
    this.#cluster = cluster;
    this.#newTopics = newTopics;
  }

  /**
   * How many partitions each topic has, or why that is not known: `SAGAZ_UNKNOWN_TOPIC`, `SAGAZ_BROKER_UNAVAILABLE`.
   * Never rejects. Missing topics are created if that is wanted.
   */
  async find(names: Iterable<string>): Promise<ReadonlyMap<string, number | SagaError>> {
    const all = [...new Set(names)];
    const now = performance.now();
    const old = all.filter((name) => now - (this.#places.get(name)?.at ?? -Infinity) > placeMsMax);
    const failures = old.length === 0 ? undefined : await this.#look(old);
    return new Map(
      all.map((name) => {
        const partitions = this.#places.get(name)?.leaders.length;
        return [name, partitions ?? failures?.get(name) ?? unavailable(`topic "${name}" was not found`)];
      }),
    );
  }

  /** Who leads a partition; undefined while nobody does. */
  leaderOf(topic: string, partition: number): Address | undefined {
    return this.#cluster.find(this.#places.get(topic)?.leaders[partition] ?? -1);
  }

  /** Looks again who leads the partitions of a topic, with all others that are asked for meanwhile. Never rejects. */
  renew(topic: string): Promise<void> {
    this.#wanted.add(topic);
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    await Promise.resolve();
    const names = [...this.#wanted];
    this.#wanted.clear();
    const answers = await this.#cluster.look(names).catch(() => []);
    for (const answer of answers) this.#read(answer);
  }

  /** Why topics could not be found. */
  async #look(names: readonly string[]): Promise<ReadonlyMap<string, SagaError>> {
    const failures = new Map<string, SagaError>();
    let left = names;
    try {
      for (let asks = 1; left.length > 0 && asks <= asksMax; asks++) {
        if (asks > 1) await pause(askEveryMs);
        for (const answer of await this.#cluster.look(left)) this.#note(answer, failures);
        left = left.filter((name) => failures.has(name));
        if (asks === 1) left = await this.#create(left, failures);
      }
    } catch (error) {
      for (const name of left) failures.set(name, unavailable(error));
    }
    return failures;
  }

  #note(answer: TopicAnswer, failures: Map<string, SagaError>): void {
    const topic = answer.name ?? "";
    failures.delete(topic);
    if (this.#read(answer)) return;
    const isMissing = answer.errorCode === codes.unknownTopicOrPartition && !this.#newTopics;
    const isUnknown = isMissing || answer.errorCode === codes.invalidTopic;
    if (isUnknown) this.#places.delete(topic);
    const failure = isUnknown
      ? new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker: "Kafka", topic })
      : unavailable(`topic "${topic}": ${toSentence(answer.errorCode)}`);
    failures.set(topic, failure);
  }

  /** True when the answer tells of partitions; some of them may be without a leader for a while. */
  #read({ name, partitions, errorCode }: TopicAnswer): boolean {
    if (errorCode !== codes.none || partitions.length === 0) return false;
    const leaders: number[] = [];
    for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
    this.#places.set(name ?? "", { leaders, at: performance.now() });
    return true;
  }

  /**
   * Creates what is missing, if that is wanted, and answers what is to be looked for again. What cannot be created is no
   * fault of the messages: that counts as an outage.
   */
  async #create(names: readonly string[], failures: Map<string, SagaError>): Promise<readonly string[]> {
    if (!this.#newTopics || names.length === 0) return names;
    const { partitions: numPartitions, replicas: replicationFactor } = this.#newTopics;
    const { kafka, answerTimeoutMs } = this.#cluster.access;
    const wanted = names.map((name) => ({
      name,
      numPartitions,
      replicationFactor,
      assignments: [],
      configs: [],
    }));
    const api = kafka.createTopicsV7;
    const { topics } = await this.#cluster.askController(api, wanted, answerTimeoutMs, false);
    const failed = topics.filter(({ errorCode }) => !isThereNow.has(errorCode));
    for (const { name, errorCode, errorMessage } of failed) {
      const reason = errorMessage ?? toSentence(errorCode);
      failures.set(name, unavailable(`topic "${name}" cannot be created: ${reason}`));
    }
    return names.filter((name) => !failed.some((topic) => topic.name === name));
  }
}

/** A name that is refused is told by the next look. */
const isThereNow: ReadonlySet<number> = new Set([codes.none, codes.topicExists, codes.invalidTopic]);
