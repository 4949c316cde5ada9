import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { ConsumerInbox } from "./consumer-inbox.ts";
import type { ConsumerInboxOptions, InboxMessage } from "./consumer-inbox.ts";

function open(options: Partial<ConsumerInboxOptions> = {}) {
  const storage = new InMemoryStorage();
  const inbox = new ConsumerInbox({ storage, consumerName: "billing", ...options });
  return { storage, inbox, pending: async () => (await storage.outbox.backlog()).pending };
}

function toMessage(name: string, fields: Partial<InboxMessage<string>> = {}): InboxMessage<string> {
  const [key = "", text = ""] = name.split("/");
  return { eventId: name, sourceTopic: "orders", eventType: "order.placed", key, payload: text, ...fields };
}

const event = { topic: "invoices", type: "invoice.sent", payload: null };

describe("one message", () => {
  test("is handled once; its repetition gets the result that was kept", async () => {
    const { inbox } = open();
    let calls = 0;
    const handle = (payload: string) => ({ calls: ++calls, payload });
    const first = { isDuplicate: false, result: { calls: 1, payload: "x" } };
    expect(await inbox.processIdempotent(toMessage("a/x"), handle)).toEqual(first);
    expect(await inbox.processIdempotent(toMessage("a/x"), handle)).toEqual({ ...first, isDuplicate: true });
    expect(await inbox.processIdempotent(toMessage("b/y"), () => undefined)).toEqual({
      isDuplicate: false,
      result: undefined,
    });
  });

  test("whose handler throws can come again, and the error tells which it was", async () => {
    const { inbox, pending } = open();
    const trouble = new Error("no invoice today");
    const failing = inbox.processIdempotent(toMessage("a/x"), (_, { publish }) => {
      publish(event);
      throw trouble;
    });
    await expect(failing).rejects.toMatchObject({
      code: "SAGAZ_HANDLER_FAILED",
      cause: trouble,
      details: { consumer: "billing", eventId: "a/x", type: "order.placed", message: "no invoice today" },
    });
    expect(await pending()).toBe(0);
    expect(await inbox.processIdempotent(toMessage("a/x"), () => 1)).toEqual({
      isDuplicate: false,
      result: 1,
    });
  });

  test("whose handler never settles fails in time, and tells it to stop", async () => {
    const { inbox } = open({ handlerTimeoutMs: 20 });
    let aborted: unknown;
    const hanging = inbox.processIdempotent(toMessage("a/x"), (_, { signal }) => {
      signal.addEventListener("abort", () => (aborted = signal.reason));
      return new Promise<never>(() => {});
    });
    await expect(hanging).rejects.toMatchObject({
      code: "SAGAZ_HANDLER_TIMEOUT",
      details: { timeoutMs: 20 },
    });
    expect(aborted).toMatchObject({ code: "SAGAZ_HANDLER_TIMEOUT" });
    expect(await inbox.processIdempotent(toMessage("a/x"), () => 1)).toMatchObject({ isDuplicate: false });
  });

  test("whose handler returns a promise of another kind, as query builders do, waits for that, as long as it may", async () => {
    const { inbox } = open({ handlerTimeoutMs: 20 });
    const Others = runInNewContext("Promise") as PromiseConstructor;
    const answered = inbox.processIdempotent(toMessage("a/x"), () => Others.resolve(7));
    expect(await answered).toMatchObject({ result: 7 });
    const hanging = inbox.processIdempotent(toMessage("b/x"), () => new Others(() => {}));
    await expect(hanging).rejects.toMatchObject({ code: "SAGAZ_HANDLER_TIMEOUT" });
  });

  test("whose handler has settled publishes nothing any more, and is told so", async () => {
    const { inbox, pending } = open({ handlerTimeoutMs: 20 });
    let publishLate: (() => void) | undefined;
    await inbox.processIdempotent(toMessage("a/x"), (_, { publish }) => {
      publishLate = () => publish(event);
    });
    expect(() => publishLate?.()).toThrow(
      expect.objectContaining({ code: "SAGAZ_CALL_SETTLED", details: { whose: 'the handler of "billing"' } }),
    );
    const late = inbox.processIdempotent(toMessage("b/x"), (_, { publish }) => {
      publishLate = () => publish(event);
      return new Promise<never>(() => {});
    });
    await expect(late).rejects.toMatchObject({ code: "SAGAZ_HANDLER_TIMEOUT" });
    expect(() => publishLate?.()).toThrow(expect.objectContaining({ code: "SAGAZ_CALL_SETTLED" }));
    expect(await pending()).toBe(0);
  });

  test.each<[what: string, fields: object]>([
    ["id", { eventId: "" }],
    ["id", { eventId: "a\0b" }],
    ["id", { eventId: "x".repeat(201) }],
    ["source topic", { sourceTopic: undefined }],
    ["source topic", { sourceTopic: "a\0b" }],
    ["type", { eventType: 7 }],
  ])("with a bad %s is refused: %j", async (what, fields) => {
    const { inbox } = open();
    const refused = inbox.processIdempotent(toMessage("a/x", fields), () => 1);
    await expect(refused).rejects.toMatchObject({ code: "SAGAZ_INVALID_EVENT", details: { what } });
  });

  test("publishes with its own key, correlation and trace", async () => {
    const { inbox, storage } = open();
    const links = { correlationId: "corr-1", traceparent: "trace-1" };
    await inbox.processIdempotent(toMessage("a/x", links), (_, { publish }) => publish(event));
    const shards = Array.from({ length: 64 }, (_, shard) => shard);
    const { events } = await storage.outbox.take({
      epoch: 0,
      shards,
      limit: 10,
      bytesMax: 1_000_000,
      inFlight: [],
      held: [],
      again: 1,
    });
    expect(events).toMatchObject([{ ...links, key: "a", type: "invoice.sent", source: "/sagaz/billing" }]);
  });

  test.each<[code: string, result: unknown]>([
    ["SAGAZ_NOT_JSON", new Map()],
    ["SAGAZ_PAYLOAD_TOO_LARGE", "x".repeat(100)],
  ])("whose result cannot be kept fails with %s, and is not processed", async (code, result) => {
    const { inbox } = open({ payloadBytesMax: 100 });
    await expect(inbox.processIdempotent(toMessage("a/x"), () => result)).rejects.toMatchObject({ code });
    expect(await inbox.processIdempotent(toMessage("a/x"), () => 1)).toMatchObject({ isDuplicate: false });
  });

  test.each(["", "x".repeat(201), "a\0b", "a\ud800", 7])(
    "without a usable id is refused: %j",
    async (eventId) => {
      const { inbox } = open();
      const message = { ...toMessage("a/x"), eventId: eventId as string };
      await expect(inbox.processIdempotent(message, () => 1)).rejects.toMatchObject({
        code: "SAGAZ_INVALID_EVENT",
      });
    },
  );

  test("cannot be noted in a transaction that the storage cannot join", async () => {
    const { inbox } = open();
    const tx = async () => [];
    const joining = inbox.processIdempotent(toMessage("a/x"), () => 1, { tx });
    await expect(joining).rejects.toMatchObject({ code: "SAGAZ_CANNOT" });
  });
});

describe("a batch", () => {
  test("is handled in order, and answered in order", async () => {
    const { inbox } = open();
    await inbox.processIdempotent(toMessage("b/2"), () => "before");
    const handled: string[] = [];
    const messages = ["a/1", "b/2", "a/3"].map((name) => toMessage(name));
    const results = await inbox.processBatch(messages, (payload) => {
      handled.push(payload);
      return payload;
    });
    expect(handled).toEqual(["1", "3"]);
    expect(results).toEqual([
      { status: "processed", isDuplicate: false, result: "1" },
      { status: "processed", isDuplicate: true, result: "before" },
      { status: "processed", isDuplicate: false, result: "3" },
    ]);
    expect(await inbox.processBatch([], () => 1)).toEqual([]);
  });

  test("isolates what fails: the rest commits, but for what follows it in its key", async () => {
    const { inbox, pending } = open();
    const messages = ["a/1", "b/bad", "a/2", "b/3", "c/bad", "b/4", "a/5"].map((name) => toMessage(name));
    const results = await inbox.processBatch(messages, (payload, { publish }) => {
      publish(event);
      if (payload === "bad") throw new Error("bad");
      return payload;
    });
    expect(results.map(({ status }) => status)).toEqual([
      "processed",
      "failed",
      "processed",
      "held",
      "failed",
      "held",
      "processed",
    ]);
    expect(await pending()).toBe(3);
    const again = await inbox.processBatch(messages, (payload) => payload);
    expect(again.map((one) => one.status === "processed" && one.isDuplicate)).toEqual([
      true,
      false,
      true,
      false,
      false,
      false,
      true,
    ]);
  });

  test("with a key that is the same in another topic, or none, holds nothing up", async () => {
    const { inbox } = open();
    const messages = [
      toMessage("a/bad"),
      toMessage("a/1", { sourceTopic: "other" }),
      { ...toMessage("b/bad"), key: undefined } as unknown as InboxMessage<string>,
      { ...toMessage("b/2"), key: undefined } as unknown as InboxMessage<string>,
    ];
    const results = await inbox.processBatch(messages, (payload) => {
      if (payload === "bad") throw new Error("bad");
    });
    expect(results.map(({ status }) => status)).toEqual(["failed", "processed", "failed", "processed"]);
  });

  test("of two copies of an event handles one", async () => {
    const { inbox } = open();
    let calls = 0;
    const messages = [toMessage("a/1"), toMessage("a/2"), toMessage("a/1")];
    const results = await inbox.processBatch(messages, () => ++calls);
    expect(results).toMatchObject([
      { isDuplicate: false, result: 1 },
      { isDuplicate: false, result: 2 },
      { isDuplicate: true, result: 1 },
    ]);
  });
});

test.each<[option: string, options: object]>([
  ["consumerName", { consumerName: "" }],
  ["consumerName", { consumerName: "with space" }],
  ["handlerTimeoutMs", { handlerTimeoutMs: 0 }],
  ["handlerTimeoutMs", { handlerTimeoutMs: Number.NaN }],
])("a bad %s is refused: %j", (option, options) => {
  expect(() => open(options)).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }) as Error);
  expect(() => open(options)).toThrow(option);
});
