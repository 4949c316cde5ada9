import { describe, expect, onTestFinished, test, vi } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { fail } from "../../core/decide/outcome.ts";
import { SagaError } from "../../core/errors.ts";
import type { ReplyMessage } from "../../core/participant/messages.ts";
import { silentLog as log } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { OutboxWorker } from "../delivery/outbox-worker.ts";
import { Participant } from "./participant.ts";
import type { Commands } from "./participant-commands.ts";

const GOOD = {
  sagaId: "s",
  step: "reserve",
  command: "reserve",
  direction: "do",
  round: 0,
  attempt: 1,
  effect: "s/reserve",
  idempotencyKey: "s/reserve/do/0",
  replyTo: "replies",
  payload: null,
};

/** A service, and one who asks it and gets its replies. */
async function open(commands: Commands) {
  const storage = new InMemoryStorage();
  const broker = new InMemoryBroker();
  const beside = () => new InMemoryBroker({ beside: broker });
  const service = new Participant({
    storage,
    broker: beside(),
    name: "inventory",
    commands,
    attemptsMax: 1,
    log,
  });
  const relay = new OutboxWorker({ storage, broker: beside(), log });
  for (const one of [service, relay, broker]) {
    await one.start();
    onTestFinished(() => one.stop());
  }
  const replies: ReplyMessage[] = [];
  await broker.subscribe({
    group: "g",
    topics: ["replies"],
    unackedMax: 10,
    handle: (some) =>
      replies.push(...some.map(({ payload }) => JSON.parse(Buffer.from(payload).toString()) as ReplyMessage)),
  });
  let sent = 0;
  const send = (body: unknown) =>
    broker.publish([
      {
        topic: "inventory-commands",
        key: "k",
        headers: { ce_id: String((sent += 1)), ce_type: "sagaz.command.v1" },
        payload: JSON.stringify(body),
      },
    ]);
  const ask = async (body: unknown) => {
    const before = replies.length;
    await send(body);
    await waitUntil("that is answered", () => replies.length > before);
    return replies.at(-1);
  };
  const letters = async () => (await storage.deadLetters.list({ limit: 9 })).letters.map(({ code }) => code);
  return { storage, service, send, ask, letters };
}

describe("the reason that a handler gives", () => {
  test.each<[string, () => Error, object]>([
    ["no words at all", () => fail(""), { message: "the business said no" }],
    ["its details", () => fail("sold out", { left: 0 }), { message: "sold out", details: { left: 0 } }],
    [
      "details that are no JSON",
      () =>
        fail("sold out", {
          toJSON() {
            throw new TypeError("it has gone");
          },
        }),
      { message: "sold out", details: { notKept: expect.any(String) } },
    ],
    [
      "details that cannot be read",
      () =>
        fail("sold out", {
          get left() {
            throw new TypeError("it has gone");
          },
        }),
      { message: "sold out", details: { notKept: expect.any(String) } },
    ],
    [
      "details that are too much",
      () => fail("sold out", { text: "x".repeat(2_000_000) }),
      { message: "sold out", details: { notKept: expect.stringContaining("details") } },
    ],
  ])("%s", async (_, toError, error) => {
    const { ask } = await open({
      reserve: {
        do: () => {
          throw toError();
        },
      },
    });
    expect(await ask(GOOD)).toMatchObject({ outcome: "failed", error });
  });
});

describe("a command that lacks something", () => {
  test("is refused when it says whom to answer, else only buried; its key goes on", async () => {
    const { ask, send, letters } = await open({ reserve: { do: () => 1 } });
    await send(null);
    await send({ ...GOOD, round: undefined });
    await send({ ...GOOD, step: "" });
    expect(await ask({ ...GOOD, idempotencyKey: undefined })).toMatchObject({
      outcome: "refused",
      idempotencyKey: "",
      error: { code: "SAGAZ_INVALID_COMMAND" },
    });
    expect(await ask(GOOD)).toMatchObject({ outcome: "done", result: 1 });
    expect(await letters()).toEqual(Array.from({ length: 4 }, () => "SAGAZ_INVALID_COMMAND"));
  });

  test("is refused when nobody here can undo it, or do it, which says what was meant", async () => {
    const { ask } = await open({ reserve: { do: () => 1 } });
    const code = "SAGAZ_UNKNOWN_COMMAND";
    const undo = await ask({ ...GOOD, direction: "undo" });
    expect(undo).toMatchObject({ outcome: "refused", direction: "undo", error: { code } });
    expect(undo?.error?.message).toMatch(/it cannot undo "reserve"\.$/);
    const misspelt = await ask({ ...GOOD, command: "resreve" });
    expect(misspelt).toMatchObject({ outcome: "refused", error: { code } });
    expect(misspelt?.error?.message).toContain('Did you mean "reserve"?');
  });
});

test.each([
  ["the storage is away", new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" })],
  ["something else is wrong", new Error("a bug in a driver")],
])("who asked hears it later when %s while he is to be told that nobody knows", async (_, trouble) => {
  const { storage, ask, letters } = await open({
    reserve: {
      do: () => {
        throw new Error("it is on fire");
      },
    },
  });
  const add = vi.spyOn(storage.outbox, "addIn").mockRejectedValueOnce(trouble);
  onTestFinished(() => add.mockRestore());
  expect(await ask(GOOD)).toMatchObject({
    outcome: "unknown",
    error: { message: expect.stringContaining("fire") },
  });
  await waitUntil("it is buried", async () => (await letters()).length > 0);
  expect(add).toHaveBeenCalledTimes(2);
});

test("a participant is refused on a storage that cannot remember what was asked", () => {
  class Forgetful extends InMemoryStorage {
    override readonly can = { joinTransaction: true, transactionalSteps: true, participants: false };
  }
  const make = () =>
    new Participant({
      storage: new Forgetful(),
      broker: new InMemoryBroker(),
      name: "inventory",
      commands: { reserve: { do: () => 1 } },
    });
  expect(make).toThrow(expect.objectContaining({ code: "SAGAZ_CANNOT" }));
});
