import { BATCH_BYTES_MAX } from "../../../core/delivery/payload-bytes.ts";
import { OUTBOX_SHARDS, shardOf } from "../../../core/delivery/shard.ts";
import type { OutboxRow, PendingEvent, Settlement, TakenEvents, TakeRequest } from "../../../ports/outbox.ts";
import { append, newId, register, toStart, toStartEntry } from "./material.ts";
import type { StorageUnderTest } from "./storage-rule.ts";

/** An event with every column filled. */
export function toEvent(t: StorageUnderTest, key: string, fields: Partial<OutboxRow> = {}): OutboxRow {
  return {
    eventId: newId(t),
    topic: "orders",
    key,
    shard: shardOf(key, OUTBOX_SHARDS),
    type: "order.placed",
    source: "/orders",
    aggregateType: "order",
    aggregateId: "4711",
    correlationId: "corr-1",
    sagaId: newId(t),
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
    headers: '{"x-note":"größer → 🎉"}',
    payload: '{"total":1.5,"note":"größer → 🎉"}',
    ...fields,
  };
}

/** Journals a new saga with these events. */
export async function publish(
  t: StorageUnderTest,
  epoch: number,
  events: readonly OutboxRow[],
): Promise<void> {
  await append({ storage: t.storage, epoch }, toStartEntry(toStart(t), { outbox: events }));
}

/** A worker that holds all shards. */
export async function relay(t: StorageUnderTest): Promise<number> {
  const epoch = await register(t.storage);
  await t.storage.outbox.balance(epoch);
  return epoch;
}

export const ALL_SHARDS = Array.from({ length: OUTBOX_SHARDS }, (_, shard) => shard);

/** What a rule asks for, with the events themselves that are in flight. */
interface Request extends Partial<Omit<TakeRequest, "inFlight">> {
  readonly inFlight?: readonly PendingEvent[];
}

export async function take(
  t: StorageUnderTest,
  epoch: number,
  request: Request = {},
): Promise<readonly PendingEvent[]> {
  return (await takeSome(t, epoch, request)).events;
}

/** The same, with whether there may be more. */
export function takeSome(
  t: StorageUnderTest,
  epoch: number,
  { inFlight = [], ...request }: Request = {},
): Promise<TakenEvents> {
  const usual = { limit: 100, bytesMax: BATCH_BYTES_MAX, held: [], again: 1 };
  const taken = inFlight.map(({ id, payload }) => ({ id, bytes: payload.length }));
  return t.storage.outbox.take({ epoch, shards: ALL_SHARDS, ...usual, ...request, inFlight: taken });
}

export function settle(
  t: StorageUnderTest,
  settlement: Partial<Settlement> & { readonly epoch: number },
): Promise<void> {
  return t.storage.outbox.settle({ sent: [], failed: [], dead: [], ...settlement });
}

export function keysOf(events: readonly PendingEvent[]): readonly string[] {
  return events.map(({ key }) => key);
}

export function idsOf(events: readonly PendingEvent[]): readonly number[] {
  return events.map(({ id }) => id);
}
