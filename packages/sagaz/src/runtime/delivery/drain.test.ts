import { expect, test } from "vitest";
import { SagaError } from "../../core/errors.ts";
import type { BrokerMessage, MessageBroker } from "../../ports/broker.ts";
import type { EventStreams } from "../../ports/event-stream.ts";
import type { OutboxStorage, PendingEvent, TakeRequest } from "../../ports/outbox.ts";
import { systemClock } from "../system.ts";
import { drain } from "./drain.ts";

const toEvent = (id: number, key: string): PendingEvent => ({
  id,
  key,
  createdAt: 0,
  attempts: 0,
  waitMs: 0,
  shard: 0,
  eventId: String(id),
  topic: "t",
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

/** Events that were pending when a slot was made, and what is done about them. */
class Room {
  readonly pending = ["a", "b", "a", "c", "b"].map((key, n) => toEvent(n + 1, key));
  readonly sent: string[] = [];
  /** Ids that are pending when the draining ends: they are left to the tables. */
  left: readonly number[] | undefined;
  answer: (id: string) => SagaError | undefined = () => undefined;
  mayPublish = () => true;
  #after = 0;

  take({ limit, held, again = this.#after + 1 }: TakeRequest) {
    const waiting = this.pending.filter(({ id, key }) => id >= again && !held.includes(key));
    const events = waiting.slice(0, limit);
    this.#after = events.at(-1)?.id ?? this.#after;
    return { events, isAll: events.length === waiting.length };
  }

  publish(messages: readonly BrokerMessage[]) {
    return messages.map(({ headers }) => {
      const id = headers["ce_id"] ?? "";
      const trouble = this.answer(id);
      if (!trouble) this.sent.push(id);
      return trouble;
    });
  }

  settle(ids: readonly number[]) {
    for (const id of ids)
      this.pending.splice(
        this.pending.findIndex((one) => one.id === id),
        1,
      );
  }

  drain(isWanted = () => true): Promise<boolean> {
    const outbox: Pick<OutboxStorage, "take"> = { take: async (request) => this.take(request) };
    const streams: Pick<EventStreams, "lastId" | "settle" | "endDrain"> = {
      lastId: async () => 5,
      settle: async (_, { sent, dead }) => this.settle([...sent, ...dead.map(({ id }) => id)]),
      endDrain: async () => void (this.left = this.pending.map(({ id }) => id)),
    };
    const broker: Pick<MessageBroker, "name" | "publish"> = {
      name: "B",
      publish: async (messages) => this.publish(messages),
    };
    return drain({
      outbox,
      streams: streams as EventStreams,
      broker: broker as MessageBroker,
      reader: { epoch: 1, term: 1 },
      clock: systemClock,
      counts: { sent: 0, refused: 0, dead: 0, outages: 0 },
      batchMax: 2,
      policy: { attemptsMax: 5, onPoison: () => "dead-letter", luck: () => 0 },
      mayPublish: () => this.mayPublish(),
      isWanted,
    });
  }
}

test("an outage is waited for, and nothing is passed by in it", async () => {
  const room = new Room();
  let outages = 0;
  room.answer = (id) => {
    if (id !== "3" || (outages += 1) > 3) return undefined;
    return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: "B", message: "away" });
  };
  expect(await room.drain()).toBe(true);
  expect(outages).toBe(4);
  expect(room.sent.filter((id) => ["1", "3"].includes(id))).toEqual(["1", "3"]);
  expect(new Set(room.sent)).toEqual(new Set(["1", "2", "3", "4", "5"]));
  expect(room.left).toEqual([]);
});

test("while nothing may be published nothing is passed by", async () => {
  const room = new Room();
  let looks = 0;
  room.mayPublish = () => (looks += 1) > 3;
  expect(await room.drain()).toBe(true);
  expect(room.sent).toEqual(["1", "2", "3", "4", "5"]);
  expect(room.left).toEqual([]);
});

test("what is refused, and what follows it in its key, is left to the tables", async () => {
  const room = new Room();
  room.answer = (id) =>
    id === "1"
      ? new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "B", topic: "t", message: "no" })
      : undefined;
  expect(await room.drain()).toBe(true);
  expect(room.sent).toEqual(["2", "4", "5"]);
  expect(room.left).toEqual([1, 3]);
});

test("what goes to a URL, and what follows it in its key, is left to the tables, though a whole look finds nothing else", async () => {
  const room = new Room();
  for (const place of [0, 1])
    room.pending[place] = { ...toEvent(place + 1, "ab"[place] ?? ""), topic: "https://shop/" };
  expect(await room.drain()).toBe(true);
  expect(room.sent).toEqual(["4"]);
  expect(room.left).toEqual([1, 2, 3, 5]);
});

test("a look that brought nothing, and not for want of more, is no end", async () => {
  const room = new Room();
  const take = room.take.bind(room);
  let looks = 0;
  room.take = (request) => ((looks += 1) === 1 ? { events: [], isAll: false } : take(request));
  expect(await room.drain()).toBe(true);
  expect(room.sent).toEqual(["1", "2", "3", "4", "5"]);
});

test("what came after the slot was made is left to it: that ends the draining, however much there is", async () => {
  const room = new Room();
  for (let id = 6; id < 20; id++) room.pending.push(toEvent(id, "d"));
  expect(await room.drain()).toBe(true);
  expect(room.sent).toEqual(["1", "2", "3", "4", "5"]);
  expect(room.left).toHaveLength(14);
});

test("one that is ended before it is through says so", async () => {
  const room = new Room();
  expect(await room.drain(() => room.sent.length < 2)).toBe(false);
  expect(room.left).toBeUndefined();
});
