import { expect, onTestFinished, test } from "vitest";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { saga } from "../../core/definition/builder.ts";
import { SagaError } from "../../core/errors.ts";
import { COMMAND_TYPE } from "../../core/participant/messages.ts";
import type { Direction } from "../../core/saga/events.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { silentLog as log } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { DeadLetters } from "../delivery/dead-letters.ts";
import { OutboxWorker } from "../delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../orchestrator.ts";
import { Participant } from "./participant.ts";

type Mood = "taken" | "refused" | "lost answer";

/** A broker that takes, refuses, or takes without saying so, as a test wants. */
class MoodyBroker extends InMemoryBroker {
  mood: (direction: Direction, nth: number) => Mood = () => "taken";
  readonly #nth = { do: 0, undo: 0 };

  override async publish(messages: readonly BrokerMessage[]): Promise<readonly (SagaError | undefined)[]> {
    const answers: (SagaError | undefined)[] = [];
    for (const message of messages) answers.push(await this.#one(message));
    return answers;
  }

  async #one(message: BrokerMessage): Promise<SagaError | undefined> {
    const { topic, headers, payload } = message;
    const { direction } = JSON.parse(String(payload)) as { direction: Direction };
    const mood = headers["ce_type"] === COMMAND_TYPE ? this.mood(direction, ++this.#nth[direction]) : "taken";
    if (mood === "refused") return new SagaError("SAGAZ_UNKNOWN_TOPIC", { broker: this.name, topic });
    await super.publish([message]);
    return mood === "taken"
      ? undefined
      : new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: this.name, message: mood });
  }
}

const order = saga("order")
  .command("reserve", {
    topic: "stock-commands",
    payload: () => null,
    undo: () => null,
    retry: { maxAttempts: 2, initialMs: 10 },
    undoRetry: { maxAttempts: 1 },
  })
  .build();

/** A saga's process and a participant, with a moody broker between them, on one clock that moves when told. */
async function startTown(mood: MoodyBroker["mood"]) {
  const clock = new FakeClock();
  const broker = new MoodyBroker();
  broker.mood = mood;
  const drive = <T>(promise: Promise<T>) => driveOn(clock, promise);
  const [storage, own] = [new InMemoryStorage({ clock }), new InMemoryStorage({ clock })];
  /** What took effect. */
  const shelf: string[] = [];
  const reserve = { do: () => void shelf.push("done"), undo: () => void shelf.push("undone") };
  const around = (seed: number) => ({ broker, clock, chance: new SeededChance(seed), log });
  const replies = { topic: "replies", broker };
  const orchestrator = new SagaOrchestrator({ ...around(1), storage, sagas: [order], replies });
  const parts = [
    orchestrator,
    new Participant({ ...around(2), storage: own, name: "stock", commands: { reserve } }),
    new OutboxWorker({ ...around(3), storage: own }),
    new OutboxWorker({ ...around(4), storage, attemptsMax: 2 }),
  ];
  for (const part of parts) {
    await drive(part.start());
    onTestFinished(() => drive(part.stop()));
  }
  const { sagas } = orchestrator;
  const { id } = await drive(sagas.start(order, null));
  const types = async () => (await sagas.events(id)).map(({ type }) => type);
  const until = async (isSo: () => Promise<boolean>) => {
    while (!(await isSo())) await clock.advance(10);
  };
  return { broker, drive, until, id, letters: new DeadLetters({ storage }), sagas, shelf, types };
}

/** Moves time until a promise has settled. */
async function driveOn<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
  const state = { isSettled: false };
  const settled = promise.finally(() => (state.isSettled = true));
  settled.catch(() => {});
  while (!state.isSettled) await clock.advance(10);
  return settled;
}

test("a command that no broker would have is asked for again, by the step's policy, as soon as that is known", async () => {
  const { drive, id, letters, sagas, shelf, types } = await startTown((_, nth) =>
    nth <= 2 ? "refused" : "taken",
  );
  expect(await drive(sagas.result(id))).toMatchObject({ status: "completed" });
  expect(shelf).toEqual(["done"]);
  expect(await types()).toEqual([
    "saga_started",
    "command_sent",
    "attempts_noted",
    "command_sent",
    "step_done",
    "saga_completed",
  ]);
  const { letters: kept } = await letters.list();
  expect(kept).toMatchObject([{ code: "SAGAZ_UNKNOWN_TOPIC", redrivenBy: "saga" }]);
});

test("one that had arrived, though no answer came, stays done: what the relay says after that changes nothing", async () => {
  const { drive, id, letters, sagas, shelf, until } = await startTown((_, nth) =>
    nth === 1 ? "lost answer" : "refused",
  );
  await until(async () => (await letters.list()).letters.length === 1);
  expect(await drive(sagas.result(id))).toMatchObject({ status: "completed" });
  expect(shelf).toEqual(["done"]);
});

test("if its undo is refused too, a person has to look, and has a way out; whatever is redriven meanwhile, nothing is done", async () => {
  const { broker, drive, id, letters, sagas, shelf, until } = await startTown(() => "refused");
  await until(async () => (await sagas.get(id)).status === "parked");
  expect(await sagas.get(id)).toMatchObject({
    status: "parked",
    parked: { reason: "compensation_failed", step: "reserve" },
    compensationErrors: [{ error: { name: "Undelivered", code: "SAGAZ_UNKNOWN_TOPIC" } }],
  });
  broker.mood = () => "taken";
  const { letters: kept } = await letters.list();
  expect(kept).toHaveLength(3);
  expect(
    await letters.redrive(
      kept.map(({ id: one }) => one),
      { actor: "ann" },
    ),
  ).toEqual([]);
  await drive(sagas.retry(id, { reason: "the topic is there now" }));
  expect(await drive(sagas.result(id))).toMatchObject({ status: "compensated" });
  expect(shelf).toEqual([]);
});
