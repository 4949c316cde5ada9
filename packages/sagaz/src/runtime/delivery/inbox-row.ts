import { SagaError } from "../../core/errors.ts";
import type { InboxRow } from "../../ports/inbox.ts";

/** As much of a message as is looked at here. */
interface Message extends InboxRow {
  readonly key?: string;
}

/** What is noted of a message. @throws SagaError `SAGAZ_INVALID_EVENT`. */
export function toInboxRow({ eventId, sourceTopic, eventType }: Message): InboxRow {
  checkText("id", eventId, { lengths: [1, 200], rule: "it must be a text of 1 to 200 characters" });
  const rule = "it must be a text without NUL characters";
  checkText("source topic", sourceTopic, { lengths: [0, Infinity], rule });
  checkText("type", eventType, { lengths: [0, Infinity], rule });
  return { eventId, sourceTopic, eventType };
}

/** What cannot be stored as it is, is refused, or would come back as another text: an id then passes for a repetition. */
function checkText(
  what: string,
  value: unknown,
  { lengths: [min, max], rule }: { readonly lengths: readonly [number, number]; readonly rule: string },
): void {
  const isText = typeof value === "string" && !value.includes("\0") && value.isWellFormed();
  if (isText && value.length >= min && value.length <= max) return;
  throw new SagaError("SAGAZ_INVALID_EVENT", { what, value: JSON.stringify(value) ?? "undefined", rule });
}

/** Messages with one topic and key have an order. */
export function placeOf({ sourceTopic, key }: Message): string {
  return key === undefined ? "" : `${sourceTopic} ${key}`;
}

/** Places of the first message of each event, and of those that repeat one. */
export function splitCopies(
  messages: readonly Message[],
): readonly [firsts: readonly number[], copies: readonly number[]] {
  const seen = new Set<string>();
  const firsts: number[] = [];
  const copies: number[] = [];
  for (const [place, { eventId }] of messages.entries()) {
    if (seen.has(eventId)) copies.push(place);
    else firsts.push(place);
    seen.add(eventId);
  }
  return [firsts, copies];
}
