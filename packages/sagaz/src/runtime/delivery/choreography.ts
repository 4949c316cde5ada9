import { createHash } from "node:crypto";
import type { OutboxEvent } from "../../core/delivery/outbox-event.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import { keepJson } from "../../core/json.ts";
import { need } from "../../core/must.ts";
import { fromText, PAYLOAD_BYTES_MAX } from "../payload.ts";
import { attemptIn } from "./business-attempt.ts";
import type { InboxContext, InboxMessage } from "./consumer-inbox.ts";
import { InboxWorker, RECEIVER_WANTED, type InboxCounts, type InboxWorkerOptions } from "./inbox-worker.ts";
import { checkReactions, type EventName, type Reaction, type ReactionContext } from "./reactions.ts";

/** How a service takes part in flows: as {@link InboxWorkerOptions}, with reactions in place of topics and handlers. */
export interface ChoreographyOptions extends Omit<InboxWorkerOptions, "topics" | "handle"> {
  /** By name: part of what is stored, so it stays. */
  readonly reactions: Readonly<Record<string, Reaction>>;
}

const WANTED: Wanted<ChoreographyOptions> = {
  ...RECEIVER_WANTED,
  consumerName: "needed",
  reactions: "needed",
};

/** What has become of a reaction in a flow: the result of its note. */
type Standing =
  | { readonly is: "done"; readonly result?: unknown }
  | { readonly is: "failed" }
  /** What it would be undone for came first: it is not to be done any more. */
  | { readonly is: "undone before" };

/**
 * Takes part in flows that nobody conducts: reacts to events of other services, publishes events of its own, and undoes
 * what it did when an event says that the flow has failed.
 *
 * A reaction and its undo run once in a flow, each in one transaction with the note of it and with what it publishes, however
 * often their events are delivered and in whatever order: an undo that comes first is remembered, and what it undoes is then
 * never done. All events of a flow carry its id as `correlation-id`, and the id of the event that they follow from as
 * `causation-id`. For a flow that has more than a few steps a saga is easier to follow.
 *
 * @example
 * const inventory = new Choreography({
 *   storage, broker, consumerName: "inventory",
 *   reactions: {
 *     reserve: {
 *       on: { topic: "orders", type: "order.placed" },
 *       do: async (order, { tx, publish }) => { …; publish({ topic: "inventory", type: "inventory.reserved", payload }); },
 *       failed: ({ message }, order) => ({ topic: "inventory", type: "inventory.refused", payload: { message } }),
 *       undoOn: [{ topic: "payments", type: "payment.failed" }],
 *       undo: async (reservation, { tx, publish }) => { … },
 *     },
 *   },
 * });
 * await inventory.start();
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export class Choreography {
  readonly #options: ChoreographyOptions;
  readonly #worker: InboxWorker;
  readonly #reactions: readonly (readonly [name: string, reaction: Reaction])[];

  constructor(options: ChoreographyOptions) {
    const { reactions, ...rest } = givenOptions("Choreography", options, WANTED);
    const topics = checkReactions(reactions);
    this.#options = options;
    this.#reactions = Object.entries(reactions);
    this.#worker = new InboxWorker({
      ...rest,
      topics,
      handle: (payload, context) => this.#react(payload, context),
    });
  }

  /** As of an {@link InboxWorker}: messages, of which those that no reaction is for are passed over. */
  get counts(): Readonly<InboxCounts> {
    return this.#worker.counts;
  }

  /** As {@link InboxWorker.start}. */
  start(): Promise<void> {
    return this.#worker.start();
  }

  /** As {@link InboxWorker.health}. */
  health(): Promise<{ readonly isUp: boolean; readonly detail?: string }> {
    return this.#worker.health();
  }

  /** Lets what is under way end, and leaves the rest to others of its name. Safe twice and before start. */
  stop(): Promise<void> {
    return this.#worker.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #react(payload: unknown, context: InboxContext): Promise<void> {
    const { message } = context;
    for (const [name, reaction] of this.#reactions) {
      if (isOf(reaction.on, message)) await this.#do({ name, reaction, payload }, context);
      if (reaction.undoOn?.some((event) => isOf(event, message)))
        await this.#undo({ name, reaction }, context);
    }
  }

  async #do(
    { name, reaction, payload }: { name: string; reaction: Reaction; payload: unknown },
    inbox: InboxContext,
  ): Promise<void> {
    // Known already: it was done, could not be done, or was undone before. In none of them is it done now.
    await this.#once(name, inbox, async () => {
      const events: OutboxEvent[] = [];
      const context = toContext(inbox, (event) => void events.push(event));
      const outcome = await attemptIn({ tx: inbox.tx, storage: this.#options.storage }, () =>
        reaction.do(payload, context),
      );
      if ("failure" in outcome) {
        if (!reaction.failed) throw outcome.failure;
        inbox.publish(withRole(reaction.failed(outcome.failure, payload), "failure"));
        return { is: "failed" };
      }
      for (const event of events) inbox.publish(event);
      return outcome.result === undefined ? { is: "done" } : { is: "done", result: outcome.result };
    });
  }

  async #undo({ name, reaction }: { name: string; reaction: Reaction }, inbox: InboxContext): Promise<void> {
    const standing = await this.#once(name, inbox, () => ({ is: "undone before" }));
    if (standing?.is !== "done") return;
    // No reaction's name begins so: a flow called "undo/…" is none of this one's undos.
    await this.#once(`~${name}`, inbox, async () => {
      const context = toContext(inbox, (event) => inbox.publish(withRole(event, "compensation")));
      await reaction.undo?.(standing.result, context);
      return { is: "done" };
    });
  }

  /**
   * Does something once in a flow, and notes what came of it, in the transaction of the message. Answers what had become of
   * it before, or undefined when it is done now.
   */
  async #once(
    name: string,
    { tx, message }: InboxContext,
    work: () => Standing | Promise<Standing>,
  ): Promise<Standing | undefined> {
    const { storage, consumerName } = this.#options;
    const { sourceTopic, eventType } = message;
    const row = { eventId: toNoteId(name, flowOf(message)), sourceTopic, eventType };
    const bytesMax = this.#options.payloadBytesMax ?? PAYLOAD_BYTES_MAX;
    const [answer] = await storage.inbox.processIn(tx, { consumerName, messages: [row] }, async () => [
      JSON.stringify(keepJson(await work(), { what: `the result of the reaction "${name}"`, bytesMax })),
    ]);
    const { isDuplicate, result } = need(answer, "a note is answered");
    return isDuplicate ? (fromText(result ?? "null") as Standing) : undefined;
  }
}

function isOf({ topic, type }: EventName, message: InboxMessage): boolean {
  return message.sourceTopic === topic && message.eventType === type;
}

/** An event that begins a flow may have no correlation id: then its own id is the flow's. */
function flowOf({ correlationId, eventId }: InboxMessage): string {
  return correlationId ?? eventId;
}

/** Ids of the inbox have at most 200 characters, correlation ids up to 500. */
function toNoteId(name: string, flowId: string): string {
  const id = `${name}/${flowId}`;
  return id.length <= 200 ? id : `${name}/${createHash("sha256").update(flowId).digest("hex")}`;
}

function toContext(
  { message, tx, signal }: InboxContext,
  publish: (event: OutboxEvent) => void,
): ReactionContext {
  return { flowId: flowOf(message), message, tx, signal, publish };
}

/** For whoever looks at the flow: what an event means for it. */
function withRole(event: OutboxEvent, role: "failure" | "compensation"): OutboxEvent {
  return { ...event, headers: { ...event.headers, "flow-role": role } };
}
