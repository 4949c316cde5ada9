import { fail } from "node:assert/strict";
import type { BrokerMessage, MessageInlet, ReceivedMessage, Subscription } from "../../../ports/broker.ts";

/** How long a rule waits for what must happen. A broker may take many seconds to hand a dead member's work to another. */
const PATIENCE_MS = 60_000;
const LOOK_EVERY_MS = 5;
/** How long a rule watches for what must not happen. */
const QUIET_MS = 300;

let count = 0;

/** A name that nobody has used. */
export function fresh(what: string): string {
  count += 1;
  return `${what}-${count}-${crypto.randomUUID().slice(0, 8)}`;
}

/** A message whose payload is a text. */
export function toMessage(topic: string, key: string, text: string): BrokerMessage {
  return { topic, key, headers: { ce_id: fresh("id") }, payload: text };
}

/** Collects what a subscription is handed. */
export class Receiver {
  readonly messages: ReceivedMessage[] = [];
  /** Acknowledges by itself, unless told otherwise. */
  readonly #acks: boolean;
  #subscription: Subscription | undefined;

  constructor({ acks = true }: { readonly acks?: boolean } = {}) {
    this.#acks = acks;
  }

  async listen(
    broker: MessageInlet,
    { group, topics, unackedMax = 1_000 }: { group: string; topics: readonly string[]; unackedMax?: number },
  ): Promise<this> {
    const early: ReceivedMessage[] = [];
    const handle = (messages: readonly ReceivedMessage[]) => {
      this.messages.push(...messages);
      if (!this.#acks) return;
      if (this.#subscription) this.#subscription.ack(messages);
      else early.push(...messages);
    };
    this.#subscription = await broker.subscribe({ group, topics, unackedMax, handle });
    this.#subscription.ack(early);
    return this;
  }

  ack(messages: readonly ReceivedMessage[]): void {
    this.#subscription?.ack(messages);
  }

  async stop(): Promise<void> {
    await this.#subscription?.stop();
  }

  get texts(): readonly string[] {
    return this.messages.map(toText);
  }

  /** Waits until so many different messages have come, and answers their first deliveries. */
  async has(least: number): Promise<readonly string[]> {
    await until(`${least} messages`, () => this.firsts.length >= least);
    return this.firsts;
  }

  /** Waits until all of these have come, each at least once. */
  async hasAll(texts: readonly string[]): Promise<void> {
    await until(`all of ${texts.length} messages`, () => {
      const come = new Set(this.texts);
      return texts.every((text) => come.has(text));
    });
  }

  /** The texts of first deliveries: what came again is left out. */
  get firsts(): readonly string[] {
    return [...new Set(this.texts)];
  }

  /** Waits a moment in which only what has come already may come, once more. */
  async nothingNew(): Promise<void> {
    const before = new Set(this.texts);
    await pause(QUIET_MS);
    const more = this.texts.filter((text) => !before.has(text));
    if (more.length > 0) fail(`${more.length} messages came that should not have: ${more.join(", ")}`);
  }

  /** Waits a moment in which nothing may come. */
  async quiet(): Promise<void> {
    const before = this.messages.length;
    await pause(QUIET_MS);
    const more = this.messages.length - before;
    if (more > 0) fail(`${more} messages came that should not have: ${this.texts.slice(before).join(", ")}`);
  }
}

/** A message's payload as text. */
function toText({ payload }: ReceivedMessage): string {
  return new TextDecoder().decode(payload);
}

/** Waits until something holds, but not for ever. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const patience = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > patience) fail(`not within ${PATIENCE_MS} ms: ${what}`);
    await pause(LOOK_EVERY_MS);
  }
}

/** Lets others have their turn. */
export function breathe(): Promise<void> {
  return pause(0);
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
