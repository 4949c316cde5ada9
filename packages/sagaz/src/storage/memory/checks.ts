import { SagaError } from "../../core/errors.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { AppendEntry, NewMail, StartRow } from "../../ports/storage.ts";

/** Milliseconds that a new saga's id may be off the database's clock. */
const idSkewMsMax = 300_000;

/**
 * Refuses what databases cannot store, so that a test in memory fails where production would.
 *
 * @throws SagaError `SAGAZ_STORAGE_REFUSED`.
 */
export function checkEntry(entry: AppendEntry): void {
  for (const { type, step, data } of entry.events) checkTexts(type, step, data);
  if (entry.row) checkTexts(entry.row.error, entry.row.output);
  for (const mail of entry.mails) checkMail(mail);
}

/**
 * Refuses a new saga that cannot be stored.
 *
 * @throws SagaError `SAGAZ_INVALID_ID`, `SAGAZ_CLOCK_SKEW`, `SAGAZ_STORAGE_REFUSED`.
 */
export function checkStart(start: StartRow, now: number): void {
  const skewMs = createdAtOf(start.sagaId) - now;
  if (Math.abs(skewMs) > idSkewMsMax) {
    throw new SagaError("SAGAZ_CLOCK_SKEW", { id: start.sagaId, skewMs, limit: idSkewMsMax });
  }
  checkTexts(start.sagaName, start.graphHash, start.tenantId, start.correlationId, start.idempotencyKey);
  checkTexts(start.started.type, start.started.step, start.started.data);
  toAttributes(start.attributes);
}

/** Refuses mail that cannot be stored. */
export function checkMail(mail: NewMail): void {
  checkTexts(mail.mailId, mail.kind, mail.body);
}

/** Refuses texts with a NUL in them. */
function checkTexts(...texts: readonly (string | null)[]): void {
  if (texts.some((text) => text?.includes("\0"))) throw refused("a text holds a NUL character");
}

/** Reads attributes; frozen, because everyone who asks gets the same object. */
export function toAttributes(text: string | null): Readonly<Record<string, string>> | null {
  if (text === null) return null;
  let attributes: Readonly<Record<string, string>>;
  try {
    attributes = Object.freeze(JSON.parse(text) as Record<string, string>);
  } catch (cause) {
    throw refused("attributes are not JSON", cause);
  }
  checkTexts(...Object.entries(attributes).flat());
  return attributes;
}

function refused(message: string, cause?: unknown): SagaError {
  return new SagaError("SAGAZ_STORAGE_REFUSED", { message }, { cause });
}
