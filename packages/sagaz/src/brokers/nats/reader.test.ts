import { expect, test } from "vitest";
import type { NatsMessage } from "./driver.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";
import { Reader } from "./reader.ts";

const made = "2026-01-01";

/** A reader of numbers from 5 on, the consumers that it makes, and all that it does. */
function open() {
  const seen: unknown[] = [];
  const consumers: { readonly send: (message: Partial<NatsMessage>) => void }[] = [];
  const looks: Promise<{ made: string }>[] = [];
  const jetStream = {
    look: () => looks.shift() ?? Promise.resolve({ made }),
    createConsumer: (_: string, from: number) => Promise.resolve(`c${from}`),
    deleteConsumer: (name: string) => Promise.resolve(seen.push(`delete ${name}`)),
    pull: (name: string, _: string, { count }: { count: number }) => seen.push(`pull ${name} ${count}`),
  };
  const line = {
    listen: (send: (message: NatsMessage) => void) => {
      consumers.push({ send: (message) => send(message as NatsMessage) });
      return { inbox: "i", end: () => seen.push("end") };
    },
  };
  const reader = new Reader({
    line: line as unknown as Line,
    jetStream: jetStream as unknown as JetStream,
    subject: "s",
    from: 5,
    made,
    expiresMs: 60_000,
    answerTimeoutMs: 60_000,
    onMessage: (sequence) => seen.push(sequence),
    onReady: () => seen.push("ready"),
    onOtherStream: () => seen.push("other stream"),
  });
  return { reader, seen, consumers, looks };
}

/** Lets what is under way go on to where it waits for something else. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function toReply(sequence: number, sent: number): string {
  return `$JS.ACK.stream.consumer.1.${sequence}.${sent}.1700000000.0`;
}

function toStatus(code: number): Partial<NatsMessage> {
  return { headers: { code, append: () => {}, get: () => "", keys: () => [] } };
}

test("while messages are to come it is not asked for more", async () => {
  const { reader, seen, consumers } = open();
  reader.ask(2);
  reader.ask(3);
  await settled();
  consumers[0]?.send({ reply: toReply(5, 1) });
  reader.ask(3);
  expect(reader.wanted).toBe(1);
  consumers[0]?.send({ reply: toReply(7, 2) });
  expect(seen).toEqual(["pull c5 2", 5, 7, "ready"]);
  reader.end();
});

test("with a domain and an account in the reply the numbers stand two places later", async () => {
  const { reader, seen, consumers } = open();
  reader.ask(1);
  await settled();
  consumers[0]?.send({ reply: "$JS.ACK.hub.account.stream.consumer.1.5.1.1700000000.0.token" });
  expect(seen).toEqual(["pull c5 1", 5, "ready"]);
  reader.end();
});

test("one that has ended asks nothing, and one that ends while its consumer is made deletes it", async () => {
  const { reader, seen } = open();
  reader.ask(1);
  reader.end();
  await settled();
  expect(seen).toEqual(["end", "delete c5"]);
  reader.ask(1);
  await settled();
  expect(seen).toEqual(["end", "delete c5"]);
});

test("a message is lost on the way: another consumer goes on, and the old one is not heard any more", async () => {
  const { reader, seen, consumers } = open();
  reader.ask(3);
  await settled();
  consumers[0]?.send({ reply: toReply(5, 1) });
  consumers[0]?.send({ reply: toReply(7, 3) });
  consumers[0]?.send({ reply: toReply(8, 4) });
  expect(reader.wanted).toBe(0);
  reader.ask(3);
  await settled();
  expect(seen).toEqual(["pull c5 3", 5, "end", "pull c6 3"]);
  reader.end();
});

test("a sign of life is no answer; no messages in time is one", async () => {
  const { reader, seen, consumers } = open();
  reader.ask(3);
  await settled();
  consumers[0]?.send(toStatus(100));
  expect(reader.wanted).toBe(3);
  consumers[0]?.send(toStatus(408));
  expect(reader.wanted).toBe(0);
  expect(seen).toEqual(["pull c5 3", "ready"]);
  reader.end();
});

test.each([["another status", toStatus(409)] as const, ["no status at all", {}] as const])(
  "an answer that is no message and has %s means that the consumer is of no use",
  async (_, answer) => {
    const { reader, seen, consumers } = open();
    reader.ask(3);
    await settled();
    consumers[0]?.send(answer);
    expect(reader.wanted).toBe(0);
    expect(seen).toEqual(["pull c5 3", "end"]);
    reader.end();
  },
);

test("in a stream that was made anew nothing is read", async () => {
  const { reader, seen, looks, consumers } = open();
  looks.push(Promise.resolve({ made: "2026-02-02" }));
  reader.ask(1);
  await settled();
  expect(seen).toEqual(["other stream"]);
  expect(consumers).toHaveLength(0);
  expect(reader.wanted).toBe(0);
  reader.end();
});
