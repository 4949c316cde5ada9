import { must } from "../../../core/must.ts";
import type { Lsn } from "./lsn.ts";

/** A message of `pgoutput`, version 1: those kinds that a table with inserts only brings. */
export type Change =
  | { readonly kind: "begin"; readonly commitLsn: Lsn; readonly xid: number }
  | { readonly kind: "commit"; readonly endLsn: Lsn }
  | { readonly kind: "insert"; readonly relation: Relation; readonly values: readonly (string | null)[] };

/** A table as the log has it from here on. */
export interface Relation {
  readonly name: string;
  readonly columns: readonly string[];
}

const BEGIN = 0x42;
const COMMIT = 0x43;
const INSERT = 0x49;
const RELATION = 0x52;
/** Other messages that may come: an origin, a type, a truncation, an update, a deletion, a message of somebody's. */
const PASSED_OVER = new Set([0x4f, 0x59, 0x54, 0x55, 0x44, 0x4d]);

const NULL = 0x6e;
const UNCHANGED = 0x75;
const TEXT = 0x74;

/**
 * Reads the messages of PostgreSQL's logical replication ("Logical Replication Message Formats" in its manual), values
 * as text. A stream has one of its own, since it remembers the tables.
 */
export class PgOutput {
  readonly #relations = new Map<number, Relation>();

  /** What a message says; undefined for one that is of no interest here. The buffer is not kept. */
  read(message: Buffer, from = 0): Change | undefined {
    const kind = message[from];
    const at = from + 1;
    if (kind === INSERT) return this.#insert(message, at);
    if (kind === BEGIN)
      return { kind: "begin", commitLsn: message.readBigUInt64BE(at), xid: message.readUInt32BE(at + 16) };
    if (kind === COMMIT) return { kind: "commit", endLsn: message.readBigUInt64BE(at + 9) };
    if (kind === RELATION) this.#relation(message, at);
    else must(kind !== undefined && PASSED_OVER.has(kind), "a message of pgoutput is of a known kind");
    return undefined;
  }

  #insert(message: Buffer, at: number): Change {
    const relation = this.#relations.get(message.readUInt32BE(at));
    must(relation !== undefined, "a table is described before its rows come");
    must(message[at + 4] === 0x4e, "an insert has a new row");
    return { kind: "insert", relation, values: toValues(message, at + 5) };
  }

  #relation(message: Buffer, at: number): void {
    const id = message.readUInt32BE(at);
    const namespace = toEnd(message, at + 4);
    const name = toEnd(message, namespace.next);
    const count = message.readUInt16BE(name.next + 1);
    const columns: string[] = [];
    let next = name.next + 3;
    for (let n = 0; n < count; n++) {
      const column = toEnd(message, next + 1);
      columns.push(column.text);
      next = column.next + 8;
    }
    this.#relations.set(id, { name: name.text, columns });
  }
}

function toValues(message: Buffer, at: number): readonly (string | null)[] {
  const count = message.readUInt16BE(at);
  const values: (string | null)[] = [];
  let next = at + 2;
  for (let n = 0; n < count; n++) {
    const kind = message[next];
    if (kind === TEXT) {
      const end = next + 5 + message.readUInt32BE(next + 1);
      must(end <= message.length, "a value ends in its message");
      values.push(message.toString("utf8", next + 5, end));
      next = end;
    } else {
      must(kind === NULL || kind === UNCHANGED, "a value is a text, null or unchanged");
      values.push(null);
      next += 1;
    }
  }
  return values;
}

/** A text that ends with a zero. */
function toEnd(message: Buffer, at: number): { readonly text: string; readonly next: number } {
  const end = message.indexOf(0, at);
  must(end >= 0, "a name ends in its message");
  return { text: message.toString("utf8", at, end), next: end + 1 };
}
