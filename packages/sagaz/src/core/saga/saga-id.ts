import { SagaError } from "../errors.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** Its first 13 characters are the time, with a dash among them. */
const TIME_LENGTH = 13;

/**
 * Makes a saga id: a UUIDv7 (RFC 9562, section 5.7) of a time and 10 random bytes.
 *
 * Ids of one millisecond sort as their random bytes do.
 */
export function toSagaId(timeMs: number, random: Uint8Array): string {
  const time = Math.floor(timeMs).toString(16).padStart(12, "0");
  const [a = 0, b = 0, c = 0, ...rest] = random;
  const hex = [0x70 | (a & 0x0f), b, 0x80 | (c & 0x3f), ...rest].map((byte) =>
    byte.toString(16).padStart(2, "0"),
  );
  return `${time.slice(0, 8)}-${time.slice(8)}-${hex.slice(0, 2).join("")}-${hex.slice(2, 4).join("")}-${hex.slice(4, 10).join("")}`;
}

/**
 * Reads when a saga was created from its id: milliseconds since 1970.
 *
 * `created_at` is exactly this, so that a look-up by id alone knows its partition.
 *
 * @throws SagaError `SAGAZ_INVALID_ID` when the text is not a UUIDv7 in lower case.
 */
export function createdAtOf(sagaId: string): number {
  if (!UUID_V7.test(sagaId))
    throw new SagaError("SAGAZ_INVALID_ID", {
      id: String(sagaId),
      why: "a saga id is a UUIDv7 in lower case",
    });
  // Every row of every write asks this: digits are added up, for cutting them out as texts would cost more than all else.
  let time = 0;
  for (let i = 0; i < TIME_LENGTH; i++) {
    const code = sagaId.charCodeAt(i);
    if (code !== DASH) time = time * 16 + (code <= NINE ? code - 48 : code - 87);
  }
  return time;
}

const DASH = 45;
const NINE = 57;
