import { expect, onTestFinished, test } from "vitest";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { saga } from "../../core/definition/builder.ts";
import { silentLog as log } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { OutboxWorker } from "../delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../orchestrator.ts";
import { Participant } from "./participant.ts";
import type { Commands } from "./participant-commands.ts";

const topic = "inventory-commands";
const impatient = saga("order")
  .command("reserve", { topic, payload: () => null, undo: () => null, replyTimeoutMs: 1_000 })
  .build();

interface Place {
  readonly clock: FakeClock;
  readonly broker: InMemoryBroker;
}

/** Lets time pass until it has ended. */
async function inTime<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  const state = { isSettled: false };
  const settled = work.finally(() => (state.isSettled = true));
  settled.catch(() => {}); // heard by whoever asked
  while (!state.isSettled) await clock.advance(10);
  return settled;
}

interface Part {
  start(): Promise<unknown>;
  stop(): Promise<unknown>;
}

async function start({ clock }: Place, parts: readonly Part[]): Promise<void> {
  for (const part of parts) await inTime(clock, part.start());
  onTestFinished(async () => {
    for (const part of parts) await inTime(clock, part.stop());
  });
}

function around({ clock, broker }: Place) {
  const storage = new InMemoryStorage({ clock });
  const beside = () => new InMemoryBroker({ beside: broker });
  const parts = { storage, clock, chance: new SeededChance(1), log };
  return { ...parts, beside, relay: new OutboxWorker({ ...parts, broker: beside() }) };
}

async function startService(place: Place, commands: Commands) {
  const { relay, beside, ...parts } = around(place);
  await start(place, [new Participant({ ...parts, broker: beside(), name: "inventory", commands }), relay]);
}

async function startSagas(place: Place) {
  const { relay, beside, ...parts } = around(place);
  const replies = { topic: "order-replies", broker: beside() };
  const orchestrator = new SagaOrchestrator({ ...parts, sagas: [impatient], replies });
  await start(place, [orchestrator, relay]);
  return orchestrator.sagas;
}

test("what a saga has given up is not done in its turn, when the queue is longer than the sagas' patience, but refused", async () => {
  const place = { clock: new FakeClock(), broker: new InMemoryBroker() };
  const took = { do: 0, undo: 0 };
  const slowly = (what: keyof typeof took) => async () => {
    took[what] += 1;
    await new Promise<void>((resolve) => place.clock.setTimer(200, resolve));
  };
  await startService(place, { reserve: { do: slowly("do"), undo: slowly("undo") } });
  const sagas = await startSagas(place);
  const asked = 100;
  const starts = Array.from({ length: asked }, () => sagas.start(impatient, null));
  const handles = await inTime(place.clock, Promise.all(starts));
  await place.clock.advance(15_000);
  const ended = await Promise.all(handles.map(({ id }) => sagas.get(id)));
  const completed = ended.filter(({ status }) => status === "completed").length;
  expect(ended.filter(({ status }) => status === "compensated")).toHaveLength(asked - completed);
  expect(completed).toBeGreaterThan(0);
  // All of them one after the other would take 20 s, and as long again for their undo.
  expect(took.do).toBeLessThan(asked / 2);
  expect(took.undo).toBe(took.do - completed);
});

test("an undo does not wait for what it undoes to be tried again", async () => {
  const place = { clock: new FakeClock(), broker: new InMemoryBroker() };
  let tries = 0;
  const reserve = {
    do: () => {
      tries += 1;
      throw new Error("database gone");
    },
    undo: () => {},
  };
  await startService(place, { reserve });
  const client = new InMemoryBroker({ beside: place.broker });
  const replies: { direction: string; outcome: string }[] = [];
  await client.start();
  await client.subscribe({
    group: "g",
    topics: ["replies"],
    unackedMax: 10,
    handle: (messages) =>
      void replies.push(
        ...messages.map(({ payload }) => JSON.parse(Buffer.from(payload).toString()) as never),
      ),
  });
  onTestFinished(() => client.stop());
  const ask = (direction: "do" | "undo") => {
    const id = `s/reserve/${direction}/0`;
    const names = { sagaId: "s", step: "reserve", command: "reserve", effect: "s/reserve" };
    const body = { ...names, direction, round: 0, attempt: 1, idempotencyKey: id, replyTo: "replies" };
    const headers = { ce_id: id, ce_type: "sagaz.command.v1" };
    return client.publish([{ topic, key: "s", headers, payload: JSON.stringify(body) }]);
  };
  await ask("do");
  await waitUntil("it was tried", () => tries === 1);
  // From here on no time passes: the first will not be tried again by itself.
  await ask("undo");
  await waitUntil("its undo is answered", () => replies.length === 1);
  await place.clock.advance(60_000);
  await waitUntil("it is answered too", () => replies.length === 2);
  expect(replies).toMatchObject([
    { direction: "undo", outcome: "done" },
    { direction: "do", outcome: "refused" },
  ]);
  expect(tries).toBe(1);
});
