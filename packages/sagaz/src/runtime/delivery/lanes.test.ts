import type { ServerResponse } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { answering, HttpDestination } from "../../../../../tools/servers/http-destination.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { HttpOutlet } from "../../brokers/http/index.ts";
import type { HttpOutletOptions } from "../../brokers/http/index.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import { URL_LANES } from "../../core/delivery/url-topic.ts";
import type { ReceivedMessage } from "../../ports/broker.ts";
import type { Log } from "../../ports/log.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { Lanes } from "./lanes.ts";
import { Outbox } from "./outbox.ts";
import { OutboxWorker } from "./outbox-worker.ts";
import type { OutboxWorkerOptions } from "./outbox-worker.ts";

async function openDestination(...answer: Parameters<typeof HttpDestination.open>) {
  const destination = await HttpDestination.open(...answer);
  onTestFinished(() => destination.kill());
  return destination;
}

interface Given extends Partial<Omit<OutboxWorkerOptions, "storage" | "broker">> {
  readonly outlet?: Partial<HttpOutletOptions>;
}

/** A relay that posts, beside a broker in memory. */
async function open(destinations: readonly HttpDestination[], { outlet = {}, ...options }: Given = {}) {
  const storage = new InMemoryStorage();
  await storage.start();
  const memory = new InMemoryBroker();
  await memory.start();
  const got: ReceivedMessage[] = [];
  const handle = (messages: readonly ReceivedMessage[]) => void got.push(...messages);
  await memory.subscribe({ group: "g", topics: ["orders"], unackedMax: 10_000, handle });
  const broker = new HttpOutlet({
    destinations: Object.fromEntries(destinations.map(({ origin }) => [origin, {}])),
    broker: new InMemoryBroker({ beside: memory }),
    ...outlet,
  });
  const relay = new OutboxWorker({ storage, broker, log: silentLog, ...options });
  await relay.start();
  onTestFinished(() => relay.stop());
  const outbox = new Outbox({ storage, source: "/shop" });
  const add = async (...events: readonly { topic: string; key?: string; payload?: unknown }[]) => {
    const { tx, commit } = storage.begin();
    await outbox.add(
      tx,
      events.map((event) => ({ type: "order.placed", payload: {}, ...event })),
    );
    await commit();
  };
  const untilSent = () =>
    waitUntil("all is sent", async () => (await storage.outbox.backlog()).pending === 0);
  const letters = async () => (await storage.deadLetters.list({ limit: 100 })).letters;
  return { storage, memory, relay, add, got, untilSent, letters };
}

/** Writes down what is said. */
function listening(): { readonly log: Log; readonly said: string[] } {
  const said: string[] = [];
  const note = (message: string, details?: object) => void said.push(`${message} ${JSON.stringify(details)}`);
  return { said, log: { debug: note, info: note, warn: note, error: note } };
}

const bodies = ({ posted }: HttpDestination) => posted.map(({ body }) => JSON.parse(body) as unknown);
const firsts = (destination: HttpDestination) => [...new Set(bodies(destination))];

describe("events for URLs", () => {
  test("are posted, those for topics are published, and each key keeps its order", async () => {
    const destination = await openDestination();
    const { add, got, untilSent, relay } = await open([destination]);
    const topic = `${destination.origin}/hooks`;
    const some = Array.from({ length: 60 }, (_, n) => ({ topic, key: `k${n % 3}`, payload: n }));
    await add({ topic: "orders" }, ...some, { topic: "orders" });
    await untilSent();
    await waitUntil("the broker's are there", () => got.length === 2);
    for (const rest of [0, 1, 2])
      expect(firsts(destination).filter((n) => Number(n) % 3 === rest)).toEqual(
        Array.from({ length: 20 }, (_, n) => n * 3 + rest),
      );
    expect(destination.posted[0]?.headers).toMatchObject({
      "ce-type": "order.placed",
      "ce-source": "/shop",
      "content-type": "application/json",
    });
    expect(relay.counts).toMatchObject({ sent: 62, refused: 0, dead: 0, outages: 0 });
  });

  test("go to one URL at so many a time at most", async () => {
    const waiting: (() => void)[] = [];
    const destination = await openDestination((_, response) => void waiting.push(() => response.end()));
    const { add, untilSent } = await open([destination]);
    const topic = `${destination.origin}/`;
    await add(...Array.from({ length: 100 }, (_, n) => ({ topic, key: String(n) })));
    await waitUntil("all lanes are busy", () => waiting.length === URL_LANES);
    destination.answer = answering(202);
    for (const end of waiting) end();
    await untilSent();
    expect(destination.atOnceMost).toBe(URL_LANES);
  });

  test("wait for a URL that is away, while other URLs and topics go on; nothing of them is given up", async () => {
    const [down, hole, well] = [
      await openDestination(),
      await openDestination(() => {}),
      await openDestination(),
    ];
    const { log, said } = listening();
    const options = { log, attemptsMax: 1, outlet: { timeoutMs: 300 } };
    const { add, got, untilSent, relay, letters } = await open([down, hole, well], options);
    await down.kill();
    const toAll = (n: number) =>
      [`${down.origin}/`, `${hole.origin}/`, `${well.origin}/`, "orders"].map((topic) => {
        return { topic, key: "k", payload: n };
      });
    for (let n = 0; n < 20; n++) {
      await add(...toAll(n));
      await waitUntil("what can be sent is sent", () => well.posted.length === n + 1 && got.length === n + 1);
    }
    expect(await relay.health()).toMatchObject({ isUp: true, detail: expect.stringContaining(down.origin) });
    expect(relay.counts.outages).toBeGreaterThan(0);
    await down.start();
    hole.answer = answering(202);
    await untilSent();
    const all = Array.from({ length: 20 }, (_, n) => n);
    expect([firsts(down), firsts(hole), firsts(well)]).toEqual([all, all, all]);
    expect(await letters()).toEqual([]);
    expect(relay.counts).toMatchObject({ sent: 80, dead: 0, refused: 0 });
    expect(await relay.health()).toEqual({ isUp: true });
    expect(said.filter((line) => line.includes("takes no events"))).toHaveLength(2);
    expect(said.filter((line) => line.includes("takes events again"))).toHaveLength(2);
  });

  test("503, and then all is well: it is sent again", async () => {
    const destination = await openDestination(answering(503, { "retry-after": "0" }));
    const { add, untilSent, letters } = await open([destination]);
    await add({ topic: `${destination.origin}/` });
    await waitUntil("it was tried", () => destination.posted.length === 1);
    destination.answer = answering(202);
    await untilSent();
    expect(destination.posted).toHaveLength(2);
    expect(await letters()).toEqual([]);
  });

  test("what is refused is given up after attemptsMax, with the reason, and what follows in its lane goes on", async () => {
    const destination = await openDestination(({ body }, response) => {
      if (body === "1") response.writeHead(400).end("no such thing");
      else response.end();
    });
    const { add, untilSent, letters, relay } = await open([destination], { attemptsMax: 2 });
    const topic = `${destination.origin}/path?token=secret`;
    await add(...[0, 1, 2].map((payload) => ({ topic, key: "k", payload })));
    await untilSent();
    expect(bodies(destination)).toEqual([0, 1, 1, 2]);
    const [letter] = await letters();
    expect(letter).toMatchObject({ attempts: 2, code: "SAGAZ_MESSAGE_REFUSED" });
    expect(letter?.error).toContain(`${destination.origin}/path": it answers 400: no such thing`);
    expect(letter?.error).not.toContain("secret");
    expect(relay.counts).toMatchObject({ sent: 2, refused: 2, dead: 1 });
  });

  test("a message that the other side stumbles over holds up its lane alone", async () => {
    const destination = await openDestination(({ body }, response) => {
      response.writeHead(body === '"bad"' ? 500 : 202).end();
    });
    const { add, storage } = await open([destination]);
    const topic = `${destination.origin}/`;
    const keys = Array.from({ length: 200 }, (_, n) => `key ${n}`);
    await add({ topic, key: "bad", payload: "bad" });
    await add(...keys.map((key) => ({ topic, key, payload: key })));
    const pending = async () => (await storage.outbox.backlog()).pending;
    await waitUntil("one lane is left", async () => (await pending()) < 40);
    expect(await pending()).toBeGreaterThanOrEqual(1);
  });

  test("are refused where nobody posts, or not there: the dead letter says what is missing", async () => {
    const destination = await openDestination();
    const { add, storage, letters, relay } = await open([], { attemptsMax: 1 });
    await add({ topic: `${destination.origin}/` });
    await waitUntil("it is given up", async () => (await letters()).length === 1);
    expect((await letters())[0]).toMatchObject({ code: "SAGAZ_UNKNOWN_DESTINATION" });
    await relay.stop();
    const broker = new InMemoryBroker();
    const plain = new OutboxWorker({ storage, broker, log: silentLog, attemptsMax: 1 });
    await plain.start();
    onTestFinished(() => plain.stop());
    await add({ topic: `${destination.origin}/` });
    await waitUntil("it is given up too", async () => (await letters()).length === 2);
    expect((await letters())[1]?.error).toContain("memory does not post to");
    expect(destination.posted).toEqual([]);
  });

  test("stop() ends what is under way: it is sent again by whoever comes next", async () => {
    const destination = await openDestination(() => {});
    const { add, relay, storage } = await open([destination], { outlet: { timeoutMs: 200 } });
    await add({ topic: `${destination.origin}/` });
    await waitUntil("it is asked", () => destination.posted.length === 1);
    await relay.stop();
    expect((await storage.outbox.backlog()).pending).toBe(1);
    destination.answer = answering(202);
    const broker = new HttpOutlet({ destinations: { [destination.origin]: {} } });
    const next = new OutboxWorker({ storage, broker, log: silentLog });
    await next.start();
    onTestFinished(() => next.stop());
    await waitUntil("it is sent", async () => (await storage.outbox.backlog()).pending === 0);
    const [first, again] = destination.posted;
    expect(again?.headers["ce-id"]).toBe(first?.headers["ce-id"]);
  });
});

describe("a lane stands still", () => {
  async function openLanes(...answer: Parameters<typeof HttpDestination.open>) {
    const destination = await openDestination(...answer);
    const broker = new HttpOutlet({ destinations: { [destination.origin]: {} } });
    await broker.start();
    onTestFinished(() => broker.stop());
    const counts = { outages: 0 };
    const policy = { attemptsMax: 5, onPoison: () => "dead-letter" as const, luck: () => 1 };
    const clock = { now: 0, monotonic: () => clock.now };
    const lanes = new Lanes({ broker, policy, counts, clock, log: silentLog });
    const toEvent = (payload: string, id: number) => {
      const row = toOutboxRow(
        { topic: `${destination.origin}/`, type: "t", payload },
        { newId: () => "id", source: "/", bytesMax: 100 },
      );
      return { ...row, id, createdAt: 0, attempts: 0, waitMs: 0 };
    };
    const sendOf = async (key: string, id = 1, then: readonly string[] = []) =>
      lanes.send({ key, events: [key, ...then].map((one, n) => toEvent(one, id + n)), rest: [] });
    const send = async () => (await sendOf("k")).waitMs;
    return { destination, lanes, send, sendOf, counts, clock };
  }

  test("for longer each time, up to five seconds, until it works; then it begins anew", async () => {
    const { destination, lanes, send, counts } = await openLanes(answering(500));
    const waits: number[] = [];
    for (let n = 0; n < 9; n++) waits.push(await send());
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    expect(counts.outages).toBe(9);
    expect(lanes.trouble).toContain("it answers 500");
    destination.answer = answering(200);
    expect(await send()).toBe(0);
    expect(lanes.trouble).toBeUndefined();
    destination.answer = answering(500);
    expect(await send()).toBe(100);
    lanes.forget();
    expect(lanes.trouble).toBeUndefined();
    expect(await send()).toBe(100);
  });

  const stumbling = ({ body }: { body: string }, response: ServerResponse) =>
    void response.writeHead(body === '"bad"' ? 500 : 202).end();
  const hourMs = 3_600_000;

  test("for an hour at most when it gets 500 while its URL takes others: then that message is refused", async () => {
    const { sendOf, clock } = await openLanes(stumbling);
    expect(await sendOf("bad")).toMatchObject({
      outage: { code: "SAGAZ_DESTINATION_UNAVAILABLE" },
      failed: [],
    });
    clock.now += 1_000;
    await sendOf("good");
    await sendOf("bad"); // from now on it is known to be alone with that
    clock.now += hourMs;
    await sendOf("good");
    expect((await sendOf("bad")).failed).toEqual([]);
    clock.now += 1;
    await sendOf("good");
    for (let n = 0; n < 2; n++) {
      const { failed, outage } = await sendOf("bad");
      expect(outage).toBeUndefined();
      expect(failed).toMatchObject([{ id: 1, attempts: 1, error: expect.stringContaining("takes others") }]);
    }
    expect((await sendOf("bad", 2)).failed).toEqual([]); // another message: its own hour
  });

  test("and what follows that message in its lane is refused neither, nor sent before it", async () => {
    const { destination, sendOf, clock } = await openLanes(stumbling);
    const sendAll = () => sendOf("bad", 1, ["next", "last"]);
    await sendAll();
    clock.now += 1;
    await sendOf("good");
    await sendAll();
    clock.now += hourMs + 1;
    await sendOf("good");
    const verdict = await sendAll();
    expect(verdict.failed).toMatchObject([{ id: 1 }]);
    expect(verdict.sent).toEqual([]);
    expect(new Set(bodies(destination))).toEqual(new Set(["bad", "good"]));
  });

  test("for ever when its URL takes nothing, or took nothing for that hour, or cannot be reached", async () => {
    const { destination, sendOf, clock } = await openLanes(answering(500));
    for (let n = 0; n < 5; n++) {
      for (const key of ["bad", "good"]) expect((await sendOf(key)).failed).toEqual([]);
      clock.now += hourMs;
    }
    destination.answer = stumbling; // it is back
    await sendOf("good");
    expect((await sendOf("bad")).failed).toEqual([]);
    destination.answer = answering(500); // and away again
    for (let n = 0; n < 3; n++) {
      clock.now += hourMs;
      for (const key of ["good", "bad"]) expect((await sendOf(key)).failed).toEqual([]);
    }
    destination.answer = ({ body }, response) => void response.writeHead(body === '"bad"' ? 503 : 202).end();
    await sendOf("good");
    expect((await sendOf("bad")).failed).toEqual([]);
  });

  test("for as long as Retry-After says, an hour at most, and not for less than it would else", async () => {
    const { destination, send } = await openLanes(answering(429, { "retry-after": "7" }));
    expect(await send()).toBe(7_000);
    destination.answer = answering(503, { "retry-after": "999999999" });
    expect(await send()).toBe(3_600_000);
    destination.answer = answering(503, { "retry-after": "0" });
    expect(await send()).toBe(400);
  });
});
