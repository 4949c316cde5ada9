import type { Cluster } from "./cluster.ts";
import { codes, toSentence, unavailable } from "./error-codes.ts";
import type { BatchIdentity } from "./lane.ts";

/** The identity that the broker gives to who publishes, asked for when it is first needed. */
export class ProducerIdentity {
  readonly #cluster: Cluster;
  #asked: Promise<BatchIdentity> | undefined;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** @throws SagaError `SAGAZ_BROKER_UNAVAILABLE` */
  get(): Promise<BatchIdentity> {
    this.#asked ??= this.#ask().catch((error: unknown) => {
      this.forget();
      throw error;
    });
    return this.#asked;
  }

  /** The next one is a fresh one. */
  forget(): void {
    this.#asked = undefined;
  }

  async #ask(): Promise<BatchIdentity> {
    const { kafka, answerTimeoutMs } = this.#cluster.access;
    const noTransactions = null;
    const answer = await this.#cluster.askAny(
      kafka.initProducerIdV4,
      noTransactions,
      answerTimeoutMs,
      -1n,
      -1,
    );
    if (answer.errorCode !== codes.none) throw unavailable(toSentence(answer.errorCode));
    return { producerId: answer.producerId, epoch: answer.producerEpoch };
  }
}
