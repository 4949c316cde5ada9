import { OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import { BATCH_BYTES_MAX } from "../../core/delivery/payload-bytes.ts";
import { isUrl } from "../../core/delivery/url-topic.ts";
import type { EventStreams, Reader } from "../../ports/event-stream.ts";
import type { OutboxStorage, PendingEvent } from "../../ports/outbox.ts";
import { BackOff } from "./back-off.ts";
import type { CdcRelayParts } from "./cdc-relay.ts";
import { publishEvents } from "./publish-events.ts";
import { judgeBatch } from "./verdict.ts";

/** What draining needs. */
export interface DrainParts extends Pick<
  CdcRelayParts,
  "broker" | "clock" | "counts" | "batchMax" | "policy" | "mayPublish"
> {
  readonly outbox: Pick<OutboxStorage, "take">;
  readonly streams: EventStreams;
  readonly reader: Reader;
  readonly isWanted: () => boolean;
}

const SHARDS = Array.from({ length: OUTBOX_SHARDS }, (_, shard) => shard);

/**
 * Sends what is pending when a slot has just been made: the slot does not bring it. What may not be sent now, and what
 * follows that in its key, is left to the tables; so is what goes to a URL.
 *
 * The slot was made before, so whatever is not visible to the look that finds nothing more comes by the stream; what is
 * visible and comes all the same is recognised there. Answers false when it was ended before it was through.
 *
 * @throws SagaError as the storage does.
 */
export async function drain(parts: DrainParts): Promise<boolean> {
  const { streams, reader, outbox, batchMax: limit, isWanted, clock, policy } = parts;
  const backOff = new BackOff({ clock, luck: () => policy.luck() });
  const upTo = await streams.lastId();
  const held = new Set<string>();
  let again: number | undefined = 1;
  while (isWanted()) {
    const { epoch } = reader;
    const room = { limit, bytesMax: BATCH_BYTES_MAX };
    const { events, isAll } = await outbox.take({
      epoch,
      shards: SHARDS,
      ...room,
      inFlight: [],
      held: [...held],
      again,
    });
    again = undefined;
    if (!parts.mayPublish()) {
      again = events[0]?.id;
      await backOff.wait();
      continue;
    }
    const wanted = sift(events, { upTo, held });
    if (wanted.length === 0 && (isAll || (events.at(-1)?.id ?? 0) > upTo)) {
      await streams.endDrain(reader, upTo);
      return true;
    }
    const unsent = await send(parts, wanted, held);
    if (unsent === undefined) backOff.reset();
    else {
      again = unsent;
      await backOff.wait();
    }
  }
  return false;
}

/** Leaves out what came after, and what must wait, with all that follows it in its key. */
function sift(
  events: readonly PendingEvent[],
  { upTo, held }: { readonly upTo: number; readonly held: Set<string> },
): readonly PendingEvent[] {
  return events.filter(({ id, topic, key, waitMs }) => {
    if (waitMs > 0 || isUrl(topic)) held.add(key);
    return id <= upTo && !held.has(key);
  });
}

/** Answers the lowest id that an outage has left unsent. */
async function send(
  { broker, policy, counts, streams, reader }: DrainParts,
  events: readonly PendingEvent[],
  held: Set<string>,
): Promise<number | undefined> {
  if (events.length === 0) return undefined;
  const { sent, failed, dead, outage } = judgeBatch(events, await publishEvents(broker, events), policy);
  counts.sent += sent.length;
  counts.refused += failed.length + dead.length;
  counts.dead += dead.length;
  const failedIds = new Set(failed.map(({ id }) => id));
  for (const { id, key } of events) if (failedIds.has(id)) held.add(key);
  await streams.settle(reader, { sent, failed, dead, left: [] });
  const settled = new Set([...sent, ...failedIds, ...dead.map(({ id }) => id)]);
  const unsent = events.find(({ id, key }) => !settled.has(id) && !held.has(key));
  if (outage) counts.outages += 1;
  return unsent?.id;
}
