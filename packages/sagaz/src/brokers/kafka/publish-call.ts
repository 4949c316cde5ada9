import { SagaError } from "../../core/errors.ts";

/** A message on its way, as far as its answer is concerned. */
export interface Sent {
  readonly topic: string;
  readonly keyText: string;
  /** Its place in the call. */
  readonly at: number;
}

/** One call of `publish`: it is answered when each of its messages is. */
export class PublishCall {
  readonly answered: Promise<readonly (SagaError | undefined)[]>;
  /** Until when its messages are tried. */
  readonly until: number;
  readonly #answers: (SagaError | undefined)[];
  /** Topics and keys of which a message was not accepted, and which one first. */
  #broken: Map<string, number> | undefined;
  #open: number;
  #resolve: (answers: readonly (SagaError | undefined)[]) => void = () => {};

  constructor(messages: number, until: number) {
    this.until = until;
    this.#open = messages;
    this.#answers = Array.from({ length: messages });
    this.answered = new Promise((resolve) => (this.#resolve = resolve));
    if (messages === 0) this.#resolve(this.#answers);
  }

  /** True when a message before this one, with its topic and key, was not accepted: this one must not be. */
  holdsBack(sent: Sent): boolean {
    const first = this.#broken?.get(toName(sent));
    return first !== undefined && first < sent.at;
  }

  accept(): void {
    this.#settle();
  }

  /** Answers why a message was not accepted, or may not have been. */
  refuse(sent: Sent, why: SagaError): void {
    this.#broken ??= new Map();
    const name = toName(sent);
    this.#broken.set(name, Math.min(sent.at, this.#broken.get(name) ?? sent.at));
    this.#answers[sent.at] = why;
    this.#settle();
  }

  #settle(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#resolve(this.#answers);
  }
}

function toName({ topic, keyText }: Sent): string {
  return `${topic}\n${keyText}`; // no topic has a line feed in its name
}

/** The answer for a message that follows one which was not accepted. */
export function heldBack(): SagaError {
  return new SagaError("SAGAZ_BROKER_HELD_BACK");
}
