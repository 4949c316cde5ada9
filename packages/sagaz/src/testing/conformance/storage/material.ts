import { equal, fail } from "node:assert/strict";
import type { SagaErrorCode } from "../../../core/errors.ts";
import { toSagaId } from "../../../core/saga/saga-id.ts";
import type {
  AppendEntry,
  AppendReceipt,
  ClaimedSaga,
  EventRow,
  HeldDefinition,
  NewMail,
  RowChange,
  SagaRow,
  SagaStorage,
  StartRow,
} from "../../../ports/storage.ts";
import type { StorageUnderTest } from "./storage-rule.ts";

/** Lease of the workers that rules register, unless they say otherwise. */
export const LEASE_MS = 10_000;

/** The definition of the sagas that rules start, unless they say otherwise. */
export const ORDER: HeldDefinition = {
  sagaName: "order",
  version: 1,
  graphHash: "hash-1",
  graph: '{"steps":[]}',
};

let made = 0;

/** An id of the database's present time; later ones sort after earlier ones. */
export function newId(t: StorageUnderTest): string {
  const random = new Uint8Array(10);
  new DataView(random.buffer).setUint32(6, ++made);
  return toSagaId(t.now(), random);
}

/** A name that no other call has returned. */
function newName(prefix: string): string {
  return `${prefix}-${++made}`;
}

/** Moves the database's clock on. */
export function advance(t: StorageUnderTest, ms: number): void {
  t.setNow(t.now() + ms);
}

/** Registers a worker and returns its epoch. */
export async function register(
  storage: SagaStorage,
  options: { readonly definitions?: readonly HeldDefinition[]; readonly leaseMs?: number } = {},
): Promise<number> {
  const { definitions = [ORDER], leaseMs = LEASE_MS } = options;
  const { epoch } = await storage.leases.register({ workerName: newName("worker"), leaseMs, definitions });
  return epoch;
}

/** An event with some data in it. */
export function event(type: string, data: string = "{}", step: string | null = null): EventRow {
  return { type, step, data };
}

/** A new saga, owned by the writing worker. */
export function toStart(t: StorageUnderTest, fields: Partial<StartRow> = {}): StartRow {
  return {
    sagaId: newId(t),
    sagaName: ORDER.sagaName,
    version: ORDER.version,
    graphHash: ORDER.graphHash,
    tenantId: null,
    correlationId: null,
    owned: true,
    wakeAt: null,
    idempotencyKey: null,
    inputHash: null,
    attributes: null,
    parentId: null,
    started: event("saga_started", '{"input":{"order":4711}}'),
    ...fields,
  };
}

/** A new saga with an idempotency key. */
export function toKeyed(t: StorageUnderTest, key: string, fields: Partial<StartRow> = {}): StartRow {
  return toStart(t, { idempotencyKey: key, inputHash: "aa".repeat(32), ...fields });
}

/** What lists show of a running saga, with changes. */
export function toRow(fields: Partial<RowChange> = {}): RowChange {
  return {
    status: "running",
    waitingFor: null,
    parkedReason: null,
    paused: false,
    error: null,
    output: null,
    finished: false,
    release: undefined,
    ...fields,
  };
}

/** A row that gives the saga up. */
export function released(
  wakeAt: number | null,
  fields: Partial<RowChange> & { readonly mailSeq?: number } = {},
): RowChange {
  const { mailSeq = 0, ...row } = fields;
  return toRow({ waitingFor: "timer", release: { wakeAt, mailSeq }, ...row });
}

/** Events of a saga from a seq on, with what changes with them. */
export function toEntry(sagaId: string, firstSeq: number, fields: Partial<AppendEntry> = {}): AppendEntry {
  return {
    sagaId,
    firstSeq,
    events: [event("step_done", '{"result":1}', "reserve")],
    start: undefined,
    row: undefined,
    spawns: [],
    mails: [],
    readMails: [],
    outbox: [],
    ...fields,
  };
}

/** The entry that starts a saga. */
export function toStartEntry(start: StartRow, fields: Partial<AppendEntry> = {}): AppendEntry {
  return toEntry(start.sagaId, 1, { start, events: [start.started], ...fields });
}

/** Writes entries as one batch. */
export function append(
  { storage, epoch }: { readonly storage: SagaStorage; readonly epoch: number },
  ...entries: readonly AppendEntry[]
): Promise<AppendReceipt> {
  return storage.journal.append({ epoch, entries });
}

/** Starts a saga that this epoch owns, and returns its id. */
export async function begin(
  t: StorageUnderTest,
  epoch: number,
  fields: Partial<AppendEntry> & { start?: StartRow } = {},
): Promise<string> {
  const { start = toStart(t), ...entry } = fields;
  await append({ storage: t.storage, epoch }, toStartEntry(start, entry));
  return start.sagaId;
}

/** Starts a saga that nobody owns, and returns its id. */
export async function beginUnowned(
  t: StorageUnderTest,
  epoch: number,
  fields: Partial<StartRow> = {},
): Promise<string> {
  return begin(t, epoch, { start: toStart(t, { owned: false, ...fields }) });
}

/** Claims what there is, at most `limit`. */
export function claim(storage: SagaStorage, epoch: number, limit = 100): Promise<readonly ClaimedSaga[]> {
  return storage.leases.claim({ epoch, limit, definitions: [ORDER] });
}

/** Ids of what a claim finds, in its order. */
export async function claimIds(storage: SagaStorage, epoch: number, limit = 100): Promise<readonly string[]> {
  return idsOf(await claim(storage, epoch, limit));
}

/** The ids of sagas, in their order. */
export function idsOf(sagas: readonly { readonly sagaId: string }[]): readonly string[] {
  return sagas.map(({ sagaId }) => sagaId);
}

/** A request to a saga. */
export function toMail(sagaId: string, fields: Partial<NewMail> = {}): NewMail {
  return { mailId: newName("mail"), sagaId, kind: "signal", body: '{"name":"paid"}', ...fields };
}

/** The row of a saga that must exist. */
export async function rowOf(storage: SagaStorage, sagaId: string): Promise<SagaRow> {
  return (await storage.queries.find(sagaId)) ?? fail(`saga ${sagaId} is not there`);
}

/** Types of a saga's events, in order. */
export async function typesOf(storage: SagaStorage, sagaId: string): Promise<readonly string[]> {
  return (await storage.queries.journal(sagaId)).map(({ type }) => type);
}

/** Asserts that nothing is stored of this saga. */
export async function absent(storage: SagaStorage, sagaId: string): Promise<void> {
  equal(await storage.queries.find(sagaId), undefined, "a row is there");
  equal((await storage.queries.journal(sagaId)).length, 0, "a journal is there");
  equal((await storage.journal.tails([sagaId])).length, 0, "a tail is there");
}

/** Asserts that a call throws a SagaError of this code. */
export async function throws(code: SagaErrorCode, call: () => Promise<unknown>): Promise<void> {
  let answer: unknown;
  try {
    answer = await call();
  } catch (error) {
    if (codeOf(error) === code) return;
    throw error;
  }
  fail(`expected ${code}, but the call answered ${JSON.stringify(answer)}`);
}

/** The code of a SagaError, or undefined. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Lets a worker die: its lease runs out, the others' are renewed, and its sagas are let go. */
export async function fence(
  t: StorageUnderTest,
  alive: readonly number[],
  leaseMs: number = LEASE_MS,
): Promise<number> {
  advance(t, leaseMs + 1);
  for (const epoch of alive) await t.storage.leases.beat(epoch);
  return t.storage.leases.fenceExpired();
}
