import { SagaError } from "../../core/errors.ts";
import { payloadBytes } from "../../core/delivery/payload-bytes.ts";
import { OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import type {
  OutboxStorage,
  PendingEvent,
  Settlement,
  TakenEvents,
  TakeRequest,
} from "../../ports/outbox.ts";
import type { NewMail } from "../../ports/storage.ts";
import { putMail } from "./mailbox.ts";
import type { Tables } from "./tables.ts";
import type { Transactions } from "./transactions.ts";

/** The outbox in memory. */
export function outboxIn(tables: Tables, transactions: Transactions): OutboxStorage {
  const { outbox } = tables;
  return {
    async addIn(tx, events, holdMs = 0) {
      return transactions.get(tx).add(events, holdMs);
    },
    toText() {
      throw new SagaError("SAGAZ_CANNOT", { storage: "memory", what: "add events by SQL" });
    },
    async behindOthers(events) {
      return outbox.behindOthers(events);
    },
    async settleHeld({ sent, released }) {
      for (const id of sent) outbox.pending.delete(id);
      for (const id of released) outbox.release(id);
      if (released.length > 0) tables.hints.emit("outbox");
    },
    async balance(epoch) {
      tables.getWorker(epoch);
      outbox.relays.add(epoch);
      const share = Math.ceil(OUTBOX_SHARDS / outbox.relays.size);
      outbox.fill(epoch, share);
      return { shards: outbox.shardsOf(epoch), share };
    },
    async release({ epoch, shards }) {
      outbox.free(epoch, shards);
      tables.hints.emit("outbox");
    },
    async take(request) {
      return take(tables, request);
    },
    async settle(settlement) {
      settle(tables, settlement);
    },
    async backlog() {
      const [oldest] = outbox.pending.values();
      const dead = outbox.dead.filter(({ redrivenAt }) => redrivenAt === null).length;
      return { pending: outbox.pending.size, oldestAt: oldest?.createdAt ?? null, dead };
    },
  };
}

function take(tables: Tables, request: TakeRequest): TakenEvents {
  const shards = new Set(request.shards);
  const inFlight = new Set([...request.inFlight].map(({ id }) => id));
  const held = new Set(request.held);
  const events: PendingEvent[] = [];
  let bytes = 0;
  for (const record of tables.outbox.pending.values()) {
    if (!shards.has(record.shard) || inFlight.has(record.id) || held.has(record.key)) continue;
    if (events.length === request.limit || bytes >= request.bytesMax) return { events, isAll: false };
    const { availableAt, ...event } = record;
    events.push({ ...event, waitMs: Math.max(0, availableAt - tables.now()) });
    bytes += payloadBytes([event]);
  }
  return { events, isAll: true };
}

function settle(tables: Tables, { epoch, sent, failed, dead }: Settlement): void {
  tables.getWorker(epoch);
  for (const id of sent) tables.outbox.pending.delete(id);
  for (const event of failed) tables.outbox.postpone(event, tables.now());
  const tell = (mail: NewMail) => putMail(tables, mail);
  for (const event of dead) tables.outbox.giveUp(event, { diedAt: tables.now(), tell });
}
