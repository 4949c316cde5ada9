import { SagaError } from "../../core/errors.ts";
import { createdAtOf } from "../../core/saga/saga-id.ts";
import type { AppendEntry, EventRow, NewMail, StartRow } from "../../ports/storage.ts";

/**
 * Refuses what other storages cannot keep, so that sagas can move between them, and what is between our own marks.
 *
 * @throws SagaError `SAGAZ_STORAGE_REFUSED`.
 */
export function checkEntry(entry: AppendEntry): void {
  for (const event of entry.events) checkEvent(event);
  if (entry.row) checkTexts(entry.row.error, entry.row.output);
  for (const mail of entry.mails) checkMail(mail);
}

/**
 * Refuses a new saga that cannot be stored.
 *
 * @throws SagaError `SAGAZ_INVALID_ID`, `SAGAZ_STORAGE_REFUSED`.
 */
export function checkStart(start: StartRow): void {
  createdAtOf(start.sagaId);
  checkTexts(start.sagaName, start.graphHash, start.tenantId, start.correlationId, start.idempotencyKey);
  checkEvent(start.started);
  toAttributes(start.attributes);
}

/** Refuses mail that cannot be stored. */
export function checkMail({ mailId, kind, body }: NewMail): void {
  checkTexts(mailId, kind, body);
}

/** Reads attributes. */
export function toAttributes(text: string | null): Readonly<Record<string, string>> | null {
  if (text === null) return null;
  let attributes: Readonly<Record<string, string>>;
  try {
    attributes = JSON.parse(text) as Record<string, string>;
  } catch (cause) {
    throw refused("attributes are not JSON", cause);
  }
  checkTexts(...Object.entries(attributes).flat());
  return attributes;
}

function checkEvent({ type, step, data }: EventRow): void {
  checkTexts(type, step, data);
}

function checkTexts(...texts: readonly (string | null)[]): void {
  if (texts.some((text) => text?.includes("\0"))) throw refused("a text holds a NUL character");
}

function refused(message: string, cause?: unknown): SagaError {
  return new SagaError("SAGAZ_STORAGE_REFUSED", { message }, { cause });
}
