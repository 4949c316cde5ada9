import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { SagaError } from "../../core/errors.ts";
import type { MessageBroker } from "../../ports/broker.ts";
import type { EventStream, EventStreams, StreamBatch, StreamedEvent } from "../../ports/event-stream.ts";
import { silentLog } from "../../ports/log.ts";
import { systemClock } from "../system.ts";
import { CdcRelay } from "./cdc-relay.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const toEvent = (position: number): StreamedEvent => ({
  position,
  id: position,
  createdAt: 0,
  attempts: 0,
  waitMs: 0,
  shard: 0,
  eventId: `e-${position}`,
  topic: "t",
  key: "k",
  type: "type",
  source: "s",
  aggregateType: null,
  aggregateId: null,
  correlationId: null,
  sagaId: null,
  traceparent: null,
  headers: null,
  payload: "{}",
});

/** A stream of so many batches of one event, and then of nothing. Remembers them as long as anybody else does. */
function toStream(batches: number) {
  const read: WeakRef<StreamBatch>[] = [];
  const confirmed: number[] = [];
  const stream: EventStream = {
    read: () => {
      if (read.length === batches) return new Promise(() => {});
      const position = read.length + 1;
      const batch = { events: [toEvent(position)], position };
      read.push(new WeakRef(batch));
      return Promise.resolve(batch);
    },
    confirm: (position) => void confirmed.push(position),
    stop: async () => {},
  };
  return { stream, read, confirmed };
}

function toRelay(stream: EventStream, settle: EventStreams["settle"] = async () => {}): CdcRelay {
  const streams: Pick<EventStreams, "leftKeys" | "settle"> = {
    leftKeys: async () => [],
    settle,
  };
  const broker: Pick<MessageBroker, "name" | "publish"> = {
    name: "nobody",
    publish: async (messages) => messages.map(() => undefined),
  };
  return new CdcRelay({
    streams: streams as EventStreams,
    stream,
    reader: { epoch: 1, term: 1 },
    broker: broker as MessageBroker,
    clock: systemClock,
    log: silentLog,
    batchMax: 1,
    policy: { attemptsMax: 5, onPoison: () => "dead-letter", luck: () => 0 },
    counts: { sent: 0, refused: 0, dead: 0, outages: 0 },
    mayPublish: () => true,
    onLeft: () => {},
  });
}

test("what was sent and noted is not kept in memory while the reader waits for more", async () => {
  const { stream, read, confirmed } = toStream(100);
  const relay = toRelay(stream);
  const running = relay.run();
  await expect.poll(() => confirmed.at(-1)).toBe(100);
  await expect
    .poll(() => {
      collectGarbage();
      return read.filter((batch) => batch.deref() !== undefined).length;
    })
    .toBeLessThanOrEqual(2);
  relay.close();
  await running;
});

test("a reader that is fenced notes nothing again, forgets none of the log, and ends", async () => {
  const { stream, confirmed } = toStream(100);
  let notes = 0;
  const relay = toRelay(stream, async () => {
    notes += 1;
    throw new SagaError("SAGAZ_FENCED", { epoch: 1 });
  });
  await expect(relay.run()).rejects.toMatchObject({ code: "SAGAZ_FENCED" });
  expect(relay.isClosed).toBe(true);
  expect(notes).toBe(1);
  expect(confirmed).toEqual([]);
});
