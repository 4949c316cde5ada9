import type { OutboxRow } from "./outbox-event.ts";

/** Header of an event that is published again after it was a dead letter. */
export const REDRIVEN = "sagaz-redriven";
/** The consumer for which it is published again; all others have no need of it. */
export const REDRIVEN_FOR = "sagaz-redriven-for";

/** The event of a dead letter as it goes out again: the same id, marked. */
export function redrivenRow(letter: {
  readonly event: OutboxRow;
  readonly consumerName: string | null;
}): OutboxRow {
  const { event, consumerName } = letter;
  const marks = { [REDRIVEN]: "true", ...(consumerName === null ? {} : { [REDRIVEN_FOR]: consumerName }) };
  const headers = event.headers === null ? {} : (JSON.parse(event.headers) as Record<string, string>);
  return { ...event, headers: JSON.stringify({ ...headers, ...marks }) };
}
