import type { ReceivedMessage, SubscribeOptions, Subscription } from "../../ports/broker.ts";

/** A message that its request still waits for. */
interface Open {
  readonly message: ReceivedMessage;
  readonly done: Promise<boolean>;
}

/** Messages on their way from requests to one receiver, by their ids: a request that comes again joins the first one. */
export class InletSubscription implements Subscription {
  readonly group: string;
  readonly #options: SubscribeOptions;
  readonly #onStop: () => void;
  readonly #open = new Map<string, Open>();
  readonly #ends = new Map<string, (isAcked: boolean) => void>();
  readonly #ids = new Map<ReceivedMessage, string>();

  constructor(options: SubscribeOptions, onStop: () => void) {
    this.group = options.group;
    this.#options = options;
    this.#onStop = onStop;
  }

  takes(topic: string): boolean {
    return this.#options.topics.includes(topic);
  }

  /** Resolves once it is acknowledged; false: it will not be, now. */
  offer(id: string, message: ReceivedMessage): Promise<boolean> {
    const known = this.#open.get(id);
    if (known) return known.done;
    if (this.#open.size >= this.#options.unackedMax) return Promise.resolve(false);
    const done = new Promise<boolean>((resolve) => void this.#ends.set(id, resolve));
    this.#open.set(id, { message, done });
    this.#ids.set(message, id);
    this.#options.handle([message]);
    return done;
  }

  ack(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) this.#end(this.#ids.get(message) ?? "", true);
  }

  async stop(): Promise<void> {
    for (const id of this.#open.keys()) this.#end(id, false);
    this.#onStop();
  }

  #end(id: string, isAcked: boolean): void {
    const open = this.#open.get(id);
    if (!open) return;
    this.#open.delete(id);
    this.#ids.delete(open.message);
    this.#ends.get(id)?.(isAcked);
    this.#ends.delete(id);
  }
}
