import type { BusinessFailure } from "../../core/decide/outcome.ts";
import type { SqlRunner } from "../../core/definition/context.ts";
import type { OutboxEvent } from "../../core/delivery/outbox-event.ts";
import { SagaError } from "../../core/errors.ts";
import type { InboxMessage } from "./consumer-inbox.ts";

/** An event, by where it is published and what happened. */
export interface EventName {
  readonly topic: string;
  readonly type: string;
}

/** What a reaction works with. */
export interface ReactionContext {
  /** What all events of this flow have in common: the first event's correlation id, or else its id. */
  readonly flowId: string;
  readonly message: InboxMessage;
  /** The transaction in which it is noted what has been done. */
  readonly tx: SqlRunner;
  /** Aborts when the handler has taken too long. */
  readonly signal: AbortSignal;
  /** Publishes an event of the flow if and only if that transaction commits. Its key is the message's. */
  publish(event: OutboxEvent): void;
}

/** What one service does when something happens elsewhere, and how it takes that back. Once each in a flow. */
export interface Reaction<Payload = unknown, Result = unknown> {
  readonly on: EventName;
  /** Returns what its undo needs. `throw fail("…")`: it cannot be done; what was written is rolled back, and `failed` says so. */
  do(payload: Payload, context: ReactionContext): Result | Promise<Result>;
  /** The event that tells the others that it could not be done, so that they undo. */
  failed?(failure: BusinessFailure, payload: Payload): OutboxEvent;
  /** The events after which it is undone. */
  readonly undoOn?: readonly EventName[];
  /** Takes it back. It is called only when it was done, and with what `do` returned. */
  undo?(result: Result, context: ReactionContext): void | Promise<void>;
}

/**
 * Checks reactions, and answers the topics that they are about.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function checkReactions(reactions: Readonly<Record<string, Reaction>>): readonly string[] {
  const all = Object.entries(reactions);
  if (all.length === 0) throw invalid("reactions", "{}", "name at least one");
  for (const [name, reaction] of all) checkReaction(name, reaction);
  return [...new Set(all.flatMap(([, { on, undoOn = [] }]) => [on, ...undoOn].map(({ topic }) => topic)))];
}

function checkReaction(name: string, reaction: Reaction): void {
  const { on, undoOn = [] } = reaction;
  const option = `reactions.${name}`;
  if (!/^\w[\w.-]{0,99}$/.test(name))
    throw invalid(
      "reactions",
      JSON.stringify(name),
      "a name has 1 to 100 characters out of a-z A-Z 0-9 _ - .",
    );
  if ((reaction.undo === undefined) !== (undoOn.length === 0))
    throw invalid(
      option,
      "undo or undoOn",
      "give both, or neither: nothing would call it, or nothing would be done",
    );
  const same = undoOn.find((event) => isSame(event, on));
  if (same)
    throw invalid(option, `undoOn ${same.topic} ${same.type}`, "it cannot be undone for what it is done for");
}

function isSame(a: EventName, b: EventName): boolean {
  return a.topic === b.topic && a.type === b.type;
}

function invalid(option: string, value: string, rule: string): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "Choreography", option, value, rule });
}
