import { must } from "../../../core/must.ts";

/** A place in the write-ahead log: 64 bits, which a number would round. */
export type Lsn = bigint;

/** From how PostgreSQL writes it: two halves in hexadecimal digits. */
export function toLsn(text: string): Lsn {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text) ?? [];
  must(high !== undefined && low !== undefined, "a place in the log is two halves");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
