import { SagaError } from "../../core/errors.ts";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** When a saga was created, in milliseconds since 1970: it stands in its id, and names its partition. */
export function createdAt(sagaId: string): number {
  return Number.parseInt(sagaId.slice(0, 8), 16) * 65_536 + Number.parseInt(sagaId.slice(9, 13), 16);
}

/**
 * Passes an id on if it is a UUIDv7, as text that can be compared.
 *
 * @throws SagaError `SAGAZ_INVALID_ID`.
 */
export function checkSagaId(sagaId: string): string {
  if (!isSagaId(sagaId)) throw new SagaError("SAGAZ_INVALID_ID", { id: sagaId, why: "it is not a UUIDv7" });
  return sagaId;
}

/** Tells whether a text is a UUIDv7. */
export function isSagaId(sagaId: string): boolean {
  return uuidV7.test(sagaId);
}
