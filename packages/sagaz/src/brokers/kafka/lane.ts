import { SagaError } from "../../core/errors.ts";
import { kindOf, type BatchAnswer } from "./batch-answer.ts";
import { toSentence, unavailable } from "./error-codes.ts";
import { batchBytes, placeBytes, type Outgoing } from "./outgoing.ts";
import { heldBack } from "./publish-call.ts";

/** What makes a batch known again to the broker when it is sent twice. */
export interface BatchIdentity {
  readonly producerId: bigint;
  readonly epoch: number;
}

/** Messages of one partition that are sent together: the broker takes all of them, or none. */
export interface Batch {
  readonly messages: readonly Outgoing[];
  readonly bytes: number;
  readonly identity: BatchIdentity;
  readonly sequence: number;
}

const epochMax = 32_767;
/** After the last number comes 0. */
const sequences = 2 ** 31;
const retryMs = 50;
const retryMsMax = 500;

/**
 * The way to one partition: its messages go in order, one batch at a time.
 *
 * Why messages of one key keep their order, and of a call a prefix is accepted: a key's messages are in one partition. The
 * broker takes a batch as a whole or not at all, and the next one is made only when this one was accepted or given up. A batch
 * whose answer was lost is sent again as it was, with its sequence number, by which the broker knows it: it is not appended
 * twice, and nothing comes before it. When it is given up, nobody knows whether it was accepted; then the epoch is
 * raised and the numbers begin again, because a number that is used for another batch would make the broker take
 * that one for the old one, and drop it with an acknowledgement. Once it has seen the new epoch, it refuses the old
 * batch, should that still be on its way; if that comes before, it is what its publisher was told: perhaps accepted.
 */
export class Lane {
  readonly topic: string;
  readonly partition: number;
  /** True while a request is under way, or it rests after trouble. */
  isBusy = false;
  /** How long it should rest now. */
  restMs = 0;
  #waiting: Outgoing[] = [];
  /** Sent and not answered, or to be sent again as it is. */
  #batch: Batch | undefined;
  /** True when the batch may have been accepted though nobody said so. */
  #isInDoubt = false;
  #identity: BatchIdentity | undefined;
  #sequence = 0;
  #failures = 0;
  #trouble: SagaError = unavailable("there was no answer in time");

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get isEmpty(): boolean {
    return this.#batch === undefined && this.#waiting.length === 0;
  }

  push(message: Outgoing): void {
    this.#waiting.push(message);
  }

  /** The batch to be sent now: the last one again, or a new one; undefined when there is none. */
  next(identity: BatchIdentity, bytesMax: number): Batch | undefined {
    this.#batch ??= this.#cut((this.#identity ??= identity), bytesMax);
    return this.#batch;
  }

  #cut(identity: BatchIdentity, bytesMax: number): Batch | undefined {
    const messages: Outgoing[] = [];
    let bytes = batchBytes;
    let taken = 0;
    for (const message of this.#waiting) {
      const more = messages.length > 0 ? message.bytes + placeBytes : message.bytes;
      if (messages.length > 0 && bytes + more > bytesMax) break;
      taken += 1;
      if (message.call.holdsBack(message)) message.call.refuse(message, heldBack());
      else {
        messages.push(message);
        bytes += more;
      }
    }
    this.#waiting.splice(0, taken);
    return messages.length === 0 ? undefined : { messages, bytes, identity, sequence: this.#sequence };
  }

  /** Takes the answer for the batch that was sent. False: the identity is used up, the lane needs a fresh one. */
  settle(answer: BatchAnswer): boolean {
    const batch = this.#batch;
    this.restMs = 0;
    if (!batch) return true;
    const kind = kindOf(answer);
    switch (kind) {
      case "accepted":
        this.#accept(batch);
        return true;
      case "too large":
        this.#refuseLarge(batch, answer);
        return true;
      case "refused":
        this.#refuse(batch, answer);
        return true;
      case "forgotten":
        // Nothing was taken: the same messages go with new numbers.
        this.#putBack(batch.messages);
        this.fail(unavailable("the broker has forgotten the numbers of our batches"));
        return this.#renew();
      case "in doubt":
      case "not now":
        this.fail(unavailable(`topic "${this.topic}": ${toSentence(answer.errorCode)}`), kind === "in doubt");
        return true;
    }
  }

  /** Sends the batch again, a little later. */
  fail(trouble: SagaError, isInDoubt = false): void {
    this.#trouble = trouble;
    this.#isInDoubt ||= isInDoubt;
    this.restMs = Math.min(retryMs * 2 ** this.#failures, retryMsMax);
    this.#failures += 1;
  }

  /** Answers what has been tried for long enough. False: as with `settle`. */
  expire(now: number): boolean {
    const batch = this.#batch;
    const isOver = batch !== undefined && batch.messages.some(({ call }) => call.until <= now);
    if (isOver) {
      this.#batch = undefined;
      for (const message of batch.messages) message.call.refuse(message, this.#trouble);
    }
    if (this.#waiting.some(({ call }) => call.until <= now))
      this.#waiting = this.#waiting.filter((message) => {
        if (message.call.until > now) return true;
        message.call.refuse(message, message.call.holdsBack(message) ? heldBack() : this.#trouble);
        return false;
      });
    return isOver && this.#isInDoubt ? this.#renew() : true;
  }

  #accept({ messages }: Batch): void {
    this.#batch = undefined;
    this.#isInDoubt = false;
    this.#failures = 0;
    for (const { call } of messages) call.accept();
    this.#sequence = (this.#sequence + messages.length) % sequences;
  }

  /** The broker names the messages that it does not want, and took none of the batch: the others go without them. */
  #refuse({ messages }: Batch, { errorMessage, errorCode, recordErrors }: BatchAnswer): void {
    const bad = new Map(recordErrors.map((one) => [one.batchIndex, one.batchIndexErrorMessage]));
    const isBad = (n: number) => bad.size === 0 || bad.has(n);
    const why = errorMessage ?? toSentence(errorCode);
    for (const [n, message] of messages.entries()) if (isBad(n)) this.#refuseOne(message, bad.get(n) ?? why);
    this.#putBack(messages.filter((_, n) => !isBad(n)));
  }

  /** If it is one message, that is too large; else they go in smaller batches. */
  #refuseLarge({ messages, bytes }: Batch, { errorMessage }: BatchAnswer): void {
    const [first, second] = messages;
    if (first && !second) this.#refuseOne(first, `its ${bytes} bytes are too many. ${errorMessage ?? ""}`);
    this.#putBack(second ? messages : []);
  }

  #refuseOne(message: Outgoing, why: string): void {
    const details = { broker: "Kafka", topic: this.topic, message: why };
    message.call.refuse(message, new SagaError("SAGAZ_MESSAGE_REFUSED", details));
  }

  /** None of the batch was accepted: its messages wait again, before all others. */
  #putBack(messages: readonly Outgoing[]): void {
    this.#batch = undefined;
    this.#isInDoubt = false;
    this.#waiting.unshift(...messages);
  }

  #renew(): boolean {
    this.#isInDoubt = false;
    this.#sequence = 0;
    const used = this.#identity;
    this.#identity = used && used.epoch < epochMax ? { ...used, epoch: used.epoch + 1 } : undefined;
    return this.#identity !== undefined;
  }
}
