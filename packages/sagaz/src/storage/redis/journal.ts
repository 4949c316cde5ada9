import { SagaError } from "../../core/errors.ts";
import { must } from "../../core/must.ts";
import type {
  AppendBatch,
  AppendEntry,
  AppendReceipt,
  JournalStore,
  KeyedOutcome,
  NewMail,
  RowChange,
  StartRow,
  Tail,
} from "../../ports/storage.ts";
import { checkEntry, checkStart } from "./checks.ts";
import type { Database } from "./database.ts";
import { toPendingText } from "./events.ts";
import { toChanging, toFixed, toKept, toStart } from "./rows.ts";
import { journalScripts } from "./scripts/journal.ts";

/** Milliseconds that a new saga's id may be off Redis' clock. */
const skewMax = 300_000;

/** Journals in Redis: a batch is one script. */
export function journalIn(database: Database): JournalStore {
  return {
    append: (batch) => append(database, batch),
    async tails(sagaIds) {
      const request = { ids: sagaIds };
      const tails = await database.lookSafely<[string, number, string][]>({
        script: journalScripts.tails,
        request,
      });
      return tails.map(([sagaId, seq, owner]): Tail => ({
        sagaId,
        seq,
        owner: owner === "" ? null : Number(owner),
      }));
    },
    startKeyed: (epoch, starts) => startKeyed(database, epoch, starts),
    async startIn() {
      throw cannot("start a saga in the caller's transaction");
    },
    async transaction() {
      throw cannot("run the statements of a transactional step");
    },
  };
}

/** What Redis has no part in. */
export function cannot(what: string): SagaError {
  return new SagaError("SAGAZ_CANNOT", { storage: "Redis", what });
}

async function append(
  database: Database,
  { epoch, entries, holdMs = 0 }: AppendBatch,
): Promise<AppendReceipt> {
  for (const entry of entries) checkEntry(entry);
  const texts = entries.flatMap(toHead);
  const request = {
    epoch: String(epoch),
    skewMax,
    holdMs,
    entries: entries.length,
    shards: entries.flatMap(({ outbox }) => outbox.map(({ shard }) => shard)),
  };
  for (const entry of entries) addTexts(entry, texts);
  for (const { mails } of entries) texts.push(...mails.map(toMailText));
  for (const { outbox } of entries) texts.push(...outbox.map(toPendingText));
  const call = { script: journalScripts.append, request, texts };
  const [at, ids] = await database.keep<[number, string[]]>(call);
  if (holdMs === 0 || ids.length === 0) return { at };
  // Whether anything waits before them is asked afterwards: it costs little here, where nobody waits for a disk.
  return { at, added: ids.map((id) => ({ id: Number(id), createdAt: at, isFree: false })) };
}

/** What the script must know of an entry. Most have nothing but events: reading more is what it spends its time on. */
function toHead({ sagaId, firstSeq, events, ...entry }: AppendEntry): readonly string[] {
  const { start, row, spawns, mails, readMails } = entry;
  const head = [sagaId, String(firstSeq)];
  if (!start && !row && spawns.length + mails.length + readMails.length === 0)
    return [...head, String(events.length)];
  const rest = {
    events: events.length,
    start: start && toStart(checked(start)),
    row: row && toRow(row),
    spawns:
      spawns.length > 0
        ? spawns.map((spawn) => ({ ...toStart(checked(spawn)), id: spawn.sagaId }))
        : undefined,
    mails: mails.length > 0 ? mails.map(({ sagaId: id, mailId }) => ({ id, mailId })) : undefined,
    reads: readMails.length > 0 ? readMails : undefined,
  };
  return [...head, JSON.stringify(rest)];
}

/** What it only stores, in the order in which it takes it. */
function addTexts({ start, events, row, spawns }: AppendEntry, texts: string[]): void {
  if (start) texts.push(toFixed(start));
  for (const event of events) texts.push(toKept(event));
  if (row) texts.push(toChanging(row));
  for (const spawn of spawns) texts.push(toFixed(spawn), toKept(spawn.started));
}

function checked(start: StartRow): StartRow {
  must(start.idempotencyKey === null, "a start with a key goes through startKeyed");
  checkStart(start);
  return start;
}

function toRow({ status, parkedReason, finished, release }: RowChange) {
  return {
    status,
    reason: parkedReason ?? undefined,
    finished,
    release: release && { wake: release.wakeAt ?? undefined, mailSeq: release.mailSeq },
  };
}

/** Mail as it is kept. */
export function toMailText({ kind, body }: NewMail): string {
  return JSON.stringify({ kind, body });
}

async function startKeyed(
  database: Database,
  epoch: number,
  starts: readonly StartRow[],
): Promise<readonly KeyedOutcome[]> {
  for (const start of starts) checkStart(start);
  const request = {
    epoch: String(epoch),
    skewMax,
    starts: starts.map((start) => ({
      ...toStart(start),
      id: start.sagaId,
      key: JSON.stringify([start.tenantId ?? "", start.sagaName, start.idempotencyKey]),
      hash: start.inputHash ?? undefined,
    })),
  };
  const texts = starts.flatMap((start) => [toFixed(start), toKept(start.started)]);
  const answers = await database.keep<[string, string?][]>({
    script: journalScripts.startKeyed,
    request,
    texts,
  });
  return answers.map(([sagaId, hash], n): KeyedOutcome => {
    if (hash === undefined) return { kind: "started", sagaId };
    return { kind: "existing", sagaId, sameInput: hash === (starts[n]?.inputHash ?? "") };
  });
}
