import { describe, expect, onTestFinished, test, vi } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { saga } from "../../core/definition/builder.ts";
import { unchecked } from "../../core/definition/standard-schema.ts";
import { fail } from "../../core/decide/outcome.ts";
import type { ReplyMessage } from "../../core/participant/messages.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { participantRules, toTitle } from "../../testing/index.ts";
import type { OpenParticipant } from "../../testing/index.ts";
import { OutboxWorker } from "../delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../orchestrator.ts";
import { Participant } from "./participant.ts";
import type { Commands } from "./participant-commands.ts";

const log = silentLog;

/** A service of its own, whose handlers note what takes effect. */
async function startService(commands: Commands, { attemptsMax = 5, broker = new InMemoryBroker() } = {}) {
  const storage = new InMemoryStorage();
  const beside = () => new InMemoryBroker({ beside: broker });
  const start = async () => {
    const participant = new Participant({
      storage,
      broker: beside(),
      name: "inventory",
      commands,
      attemptsMax,
      log,
    });
    const relay = new OutboxWorker({ storage, broker: beside(), log });
    await participant.start();
    await relay.start();
    const stop = async () => {
      await participant.stop();
      await relay.stop();
    };
    return { participant, stop };
  };
  const running = await start();
  onTestFinished(() => running.stop());
  return { storage, broker, beside, start, ...running };
}

const open: OpenParticipant = async () => {
  const effects = new Map<string, { done: number; undone: number }>();
  const at = (effect: string) => {
    const known = effects.get(effect) ?? { done: 0, undone: 0 };
    effects.set(effect, known);
    return known;
  };
  const service = await startService({
    reserve: {
      do: ({ command, payload }: { command: { effect: string }; payload: { sku: string } }) => {
        if (payload.sku === "sold out") throw fail("sold out", { left: 0 });
        at(command.effect).done += 1;
        return { reserved: payload.sku };
      },
      undo: ({ command, result }) => {
        expect(result).toEqual({ reserved: "a" });
        at((command as { effect: string }).effect).undone += 1;
      },
    },
  });
  let { stop } = service;
  const broker = service.beside();
  await broker.start();
  return {
    broker,
    topic: "inventory-commands",
    replyTopic: async () => `replies-${crypto.randomUUID()}`,
    succeeds: { command: "reserve", payload: { sku: "a" } },
    fails: { command: "reserve", payload: { sku: "sold out" } },
    effects: async (effect) => ({ ...at(effect) }),
    crash: async () => {
      await stop();
      ({ stop } = await service.start());
    },
    close: async () => {
      await stop();
      await broker.stop();
    },
  };
};

describe("the contract", () => {
  for (const rule of participantRules) test(toTitle(rule, []), () => rule.check(open));
});

const order = saga("order", { input: unchecked<{ sku: string; cents: number }>() })
  .command("reserve", {
    topic: "inventory-commands",
    payload: (ctx) => ({ sku: ctx.input.sku }),
    result: unchecked<{ id: string }>(),
    undo: () => null,
  })
  .step("charge", {
    after: ["reserve"],
    do: (ctx) => {
      if (ctx.input.cents > 100) throw fail("card declined");
      return ctx.results.reserve.id;
    },
  })
  .build();

async function startOrchestrator(broker: InMemoryBroker) {
  const storage = new InMemoryStorage();
  const beside = () => new InMemoryBroker({ beside: broker });
  const orchestrator = new SagaOrchestrator({
    storage,
    sagas: [order],
    replies: { topic: "order-replies", broker: beside() },
    log,
  });
  const relay = new OutboxWorker({ storage, broker: beside(), log });
  await orchestrator.start();
  await relay.start();
  onTestFinished(async () => {
    await orchestrator.stop();
    await relay.stop();
  });
  return { orchestrator, storage };
}

describe("with an orchestrator", () => {
  test("a command is done by another service, and undone there when the saga goes back", async () => {
    const shelf: string[] = [];
    const { broker } = await startService({
      reserve: {
        do: ({ payload, command }: { payload: { sku: string }; command: { effect: string } }) => {
          shelf.push(payload.sku);
          return { id: `reservation of ${payload.sku}`, by: command.effect };
        },
        undo: ({ result }: { result: { id: string } }) => {
          shelf.push(`no ${result.id}`);
        },
      },
    });
    const { orchestrator } = await startOrchestrator(broker);
    const good = await orchestrator.sagas.start(order, { sku: "a", cents: 1 });
    expect(await good.result()).toMatchObject({
      status: "completed",
      output: { charge: "reservation of a", reserve: { by: `${good.id}/reserve` } },
    });
    const bad = await orchestrator.sagas.start(order, { sku: "b", cents: 1_000 });
    expect(await bad.result()).toMatchObject({ status: "compensated" });
    expect(shelf).toEqual(["a", "b", "no reservation of b"]);
  });

  test("a handler that keeps throwing is a dead letter, and the saga hears that nobody knows", async () => {
    const tried = vi.fn(() => {
      throw new Error("database gone");
    });
    const { broker, storage } = await startService(
      { reserve: { do: tried, undo: () => {} } },
      { attemptsMax: 1 },
    );
    const { orchestrator } = await startOrchestrator(broker);
    const { result } = await orchestrator.sagas.start(order, { sku: "a", cents: 1 });
    const { status, failure } = await result();
    expect(status).toBe("compensated");
    expect(failure).toMatchObject({ kind: "step", step: "reserve", error: { code: "SAGAZ_HANDLER_FAILED" } });
    expect(tried).toHaveBeenCalledTimes(3);
    const { letters } = await storage.deadLetters.list({ limit: 10 });
    expect(letters.map(({ code }) => code)).toEqual(Array(3).fill("SAGAZ_HANDLER_FAILED"));
  });

  test("a reply that is for no saga, or cannot be read, is a dead letter; one for nothing that was asked is logged", async () => {
    const broker = new InMemoryBroker();
    const { orchestrator, storage } = await startOrchestrator(broker);
    await broker.start();
    onTestFinished(() => broker.stop());
    const send = async (id: string, body: unknown) => {
      const headers = { ce_id: id, ce_type: "sagaz.reply.v1" };
      await broker.publish([{ topic: "order-replies", key: id, headers, payload: JSON.stringify(body) }]);
    };
    await send("malformed", { sagaId: "x" });
    await waitUntil("it is buried", async () => {
      const { letters } = await storage.deadLetters.list({ limit: 10 });
      return letters[0]?.code === "SAGAZ_INVALID_REPLY" || undefined;
    });
    const { id } = await orchestrator.sagas.start(order, { sku: "a", cents: 1 });
    const reply = {
      sagaId: id,
      step: "reserve",
      direction: "do",
      round: 0,
      outcome: "done",
      result: { id: "r" },
    };
    const wrong = [
      { ...reply, step: "charge" },
      { ...reply, round: 1 },
      { ...reply, direction: "undo" },
    ];
    for (const one of wrong)
      await expect(orchestrator.sagas.reply(one)).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_REPLY" });
    await expect(orchestrator.sagas.reply({ ...reply, outcome: "maybe" })).rejects.toMatchObject({
      code: "SAGAZ_INVALID_REPLY",
    });
    const error = { message: "sold out", details: { cents: 5n } };
    await expect(orchestrator.sagas.reply({ ...reply, outcome: "failed", error })).rejects.toMatchObject({
      code: "SAGAZ_NOT_JSON",
      details: { path: "$.error.details.cents" },
    });
    await orchestrator.sagas.reply(reply);
    expect(await orchestrator.sagas.result(id)).toMatchObject({ status: "completed" });
    await orchestrator.sagas.reply(reply); // repeated: nothing comes of it
    expect(await orchestrator.sagas.get(id)).toMatchObject({ status: "completed" });
  });

  test("what was done turns out late, after the undo: the undo is asked for once more", async () => {
    const { orchestrator } = await startOrchestrator(new InMemoryBroker());
    const { id } = await orchestrator.sagas.start(order, { sku: "a", cents: 1 });
    const { sagas } = orchestrator;
    const events = async () => (await sagas.events(id)).map(({ type }) => type);
    await waitUntil("it is asked", async () => (await events()).includes("command_sent") || undefined);
    await sagas.cancel(id, { reason: "changed their mind" });
    await waitUntil(
      "its undo is asked for",
      async () => (await events()).filter((one) => one === "command_sent").length === 2 || undefined,
      { withinMs: 10_000 },
    );
    const reply = { sagaId: id, step: "reserve", direction: "undo", round: 0, outcome: "done" };
    await sagas.reply(reply);
    expect(await sagas.result(id)).toMatchObject({ status: "compensated" });
    await sagas.reply({ ...reply, direction: "do", result: { id: "r" } });
    await waitUntil(
      "it is undone again",
      async () => (await events()).filter((one) => one === "command_sent").length === 3 || undefined,
    );
    await sagas.reply(reply); // of the round before
    await sagas.reply({ ...reply, round: 1 });
    expect(await sagas.result(id)).toMatchObject({ status: "compensated" });
    expect(await events()).toEqual([
      "saga_started",
      "command_sent",
      "cancel_requested",
      "step_maybe_done",
      "compensation_started",
      "command_sent",
      "step_compensated",
      "saga_compensated",
      "late_effect",
      "command_sent",
      "step_compensated",
      "saga_compensated",
    ]);
  });

  test("a saga with commands says where replies go", () => {
    const make = () => new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [order] });
    expect(make).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }));
  });
});

describe("a command that cannot be answered", () => {
  const good = {
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

  /** Sends a command and another one of the same key after it; answers the replies, once that is done. */
  async function ask(command: object, handler: () => void, headers: Readonly<Record<string, string>> = {}) {
    const done: unknown[] = [];
    const reserve = {
      do: ({ command: { effect } }: { command: { effect: string } }) => {
        if (effect === good.effect) handler();
        done.push(effect);
      },
    };
    const { broker, storage } = await startService({ reserve }, { attemptsMax: 1 });
    const replies: ReplyMessage[] = [];
    await broker.start();
    onTestFinished(() => broker.stop());
    await broker.subscribe({
      group: "g",
      topics: ["replies"],
      unackedMax: 10,
      handle: (some) =>
        replies.push(
          ...some.map(({ payload }) => JSON.parse(Buffer.from(payload).toString()) as ReplyMessage),
        ),
    });
    const toMessage = (id: string, body: object, more: Readonly<Record<string, string>>) => {
      const all = { ce_id: id, ce_type: "sagaz.command.v1", ...more };
      return { topic: "inventory-commands", key: "k", headers: all, payload: JSON.stringify(body) };
    };
    await broker.publish([
      toMessage("1", { ...good, ...command }, headers),
      toMessage("2", { ...good, effect: "next" }, {}),
    ]);
    await waitUntil("the next one is done", () => done.includes("next"));
    await waitUntil("that is answered", () => replies.some(({ outcome }) => outcome === "done"));
    return { replies, letters: (await storage.deadLetters.list({ limit: 9 })).letters };
  }

  test.each<[string, object]>([
    ["its topic for replies is none", { replyTo: "no topic!" }],
    ["its URL for replies has a password", { replyTo: "http://user:pass@host/" }],
    ["no event can have its saga's id as a key", { sagaId: "x".repeat(501) }],
  ])("because %s is a dead letter, and its key goes on", async (_, command) => {
    const { replies, letters } = await ask(command, () => {});
    expect(replies).toHaveLength(1);
    expect(letters.map(({ code }) => code)).toEqual(["SAGAZ_INVALID_EVENT"]);
  });

  test("with all that its handler says: the reply has the beginning of it", async () => {
    const much = "x".repeat(2_000_000);
    const thrown = await ask({}, () => {
      throw new Error(much);
    });
    expect(thrown.replies.map(({ outcome }) => outcome)).toEqual(["unknown", "done"]);
    const failed = await ask({}, () => {
      throw fail(much);
    });
    expect(failed.replies.map(({ outcome }) => outcome)).toEqual(["failed", "done"]);
    expect(failed.replies[0]?.error?.message).toHaveLength(2_000);
  });

  test("with its correlation id and its trace is answered without them", async () => {
    const headers = { "correlation-id": "x".repeat(501), traceparent: "x".repeat(501) };
    const { replies } = await ask({}, () => {}, headers);
    expect(replies.map(({ outcome }) => outcome)).toEqual(["done", "done"]);
  });
});

test("commands are checked when the participant is made", () => {
  const make = (commands: unknown) => () =>
    new Participant({
      storage: new InMemoryStorage(),
      broker: new InMemoryBroker(),
      name: "inventory",
      commands: commands as Commands,
    });
  for (const wrong of [{}, { a: {} }, { a: { do: () => 1, undo: 1 } }])
    expect(make(wrong)).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_OPTION" }));
});
