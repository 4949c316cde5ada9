import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { HttpInlet, HttpOutlet } from "../brokers/http/index.ts";
import { KafkaBroker } from "../brokers/kafka/index.ts";
import { InMemoryBroker } from "../brokers/memory/index.ts";
import { NatsBroker } from "../brokers/nats/index.ts";
import { RabbitMQBroker } from "../brokers/rabbitmq/index.ts";
import { RedisBroker } from "../brokers/redis/index.ts";
import { saga } from "../core/definition/builder.ts";
import { isSagaError } from "../core/errors.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { EmbeddedPostgreSQLStorage } from "../storage/embedded/index.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { PostgreSQLStorage } from "../storage/postgres/index.ts";
import { RedisStorage } from "../storage/redis/index.ts";
import { Choreography } from "./delivery/choreography.ts";
import { ConsumerInbox } from "./delivery/consumer-inbox.ts";
import { DeadLetters } from "./delivery/dead-letters.ts";
import { FlowTracker } from "./delivery/flow-tracker.ts";
import { InboxWorker } from "./delivery/inbox-worker.ts";
import { OptimisticPublisher } from "./delivery/optimistic-publisher.ts";
import { OutboxWorker } from "./delivery/outbox-worker.ts";
import { Outbox } from "./delivery/outbox.ts";
import { SagaOrchestrator } from "./orchestrator.ts";
import { Participant } from "./participant/participant.ts";

const storage = new InMemoryStorage();
const broker = new InMemoryBroker();
const sagas = [
  saga("s")
    .step("a", { do: () => 1 })
    .build(),
];
const pool = { connect: () => {}, on: () => {}, removeListener: () => {}, options: { max: 10 } };
const reactions = { r: { on: { topic: "t", type: "y" }, do: () => null } };

/** As JavaScript may call it. */
type Made = new (options?: unknown) => unknown;

/** Each class that takes options, and options with which it can be made. */
const classes: readonly (readonly [string, Made, object])[] = [
  ["SagaOrchestrator", SagaOrchestrator as Made, { storage, sagas }],
  ["OutboxWorker", OutboxWorker as Made, { storage, broker }],
  ["Outbox", Outbox as Made, { storage }],
  ["ConsumerInbox", ConsumerInbox as Made, { storage, consumerName: "c" }],
  [
    "InboxWorker",
    InboxWorker as Made,
    { storage, broker, consumerName: "c", topics: ["t"], handle: () => {} },
  ],
  ["Choreography", Choreography as Made, { storage, broker, consumerName: "c", reactions }],
  ["Participant", Participant as Made, { storage, broker, name: "p", commands: { c: { do: () => {} } } }],
  ["FlowTracker", FlowTracker as Made, { storage, broker, topics: ["t"] }],
  ["OptimisticPublisher", OptimisticPublisher as Made, { storage, broker }],
  ["DeadLetters", DeadLetters as Made, { storage }],
  ["HttpOutlet", HttpOutlet as Made, { destinations: {} }],
  ["PostgreSQLStorage", PostgreSQLStorage as Made, { pool }],
  ["RedisStorage", RedisStorage as Made, { client: { duplicate: () => {} } }],
  ["RedisBroker", RedisBroker as Made, { client: { duplicate: () => {} } }],
  ["RabbitMQBroker", RabbitMQBroker as Made, { connect: () => {} }],
  ["NatsBroker", NatsBroker as Made, { nats: { connect: () => {} } }],
  ["KafkaBroker", KafkaBroker as Made, { kafka: { Connection: Object }, servers: ["h:1"] }],
];
const optionless: readonly (readonly [string, Made, object])[] = [
  ["InMemoryBroker", InMemoryBroker as Made, {}],
  ["HttpInlet", HttpInlet as Made, {}],
  ["EmbeddedPostgreSQLStorage", EmbeddedPostgreSQLStorage as Made, {}],
];

function refusalOf(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    if (isSagaError(error) && error.code === "SAGAZ_INVALID_OPTION") return inspect(error, { depth: 9 });
    throw error;
  }
  throw new Error("nothing was refused");
}

describe.each(classes)("%s", (name, Class, good) => {
  test("is made of the least that it needs", () => {
    expect(new Class(good)).toBeDefined();
  });

  test("says what is missing, and nothing at all is missing too", () => {
    expect(refusalOf(() => new Class())).toContain(`${name}: the argument is undefined`);
    for (const option of Object.keys(good)) {
      const rest = Object.fromEntries(Object.entries(good).filter(([one]) => one !== option));
      expect(refusalOf(() => new Class(rest))).toContain(option);
    }
  });

  test("says that a part is none, without what it is: a URL has a password in it", () => {
    for (const option of ["storage", "broker", "pool", "client", "kafka", "nats", "connect"]) {
      if (!(option in good)) continue;
      const url = "postgres://user:s3cret@host/db";
      const refusal = refusalOf(() => new Class({ ...good, [option]: url }));
      expect(refusal).toContain(`${name}: ${option} is a string; it must be `);
      expect(refusal).not.toContain("s3cret");
      const promised = refusalOf(() => new Class({ ...good, [option]: Promise.resolve() }));
      expect(promised).toContain(`${option} is a promise`);
      expect(promised).toContain("Await the promise first");
    }
  });

  test("takes undefined for what is not set", () => {
    expect(new Class({ ...good, log: undefined, leaseMs: undefined, onNotice: undefined })).toBeDefined();
  });
});

describe.each([...classes, ...optionless])("%s", (_name, Class, good) => {
  test("refuses an option that it does not have, without its value", () => {
    const refusal = refusalOf(() => new Class({ ...good, nonsense: "s3cret" }));
    expect(refusal).toContain("nonsense is a string; there is no such option");
    expect(refusal).not.toContain("s3cret");
  });
});

test("a misspelt option is told how it is spelt", () => {
  expect(refusalOf(() => new (OutboxWorker as Made)({ storage, broker, leaseMS: 1_000 }))).toContain(
    'Did you mean "leaseMs"?',
  );
});

test("parts gathered in one object are handed to each class, whether it takes all of them or not", () => {
  const parts = { storage, broker, clock: new FakeClock(), log: console };
  expect(new Outbox(parts)).toBeDefined();
  expect(new FlowTracker({ ...parts, topics: ["t"] })).toBeDefined();
});

test.each([
  ["a delivery of another name", OutboxWorker, { storage, broker, delivery: "CDC" }, '"relay" or "cdc"'],
  ["a policy that is no function", OutboxWorker, { storage, broker, onPoison: "block-key" }, "a function"],
  ["a log of one method", Outbox, { storage, publisher: {} }, "an OptimisticPublisher"],
  ["a log of one method", OutboxWorker, { storage, broker, log: { info: () => {} } }, "debug, info, warn"],
  ["a definition that is in no list", SagaOrchestrator, { storage, sagas: sagas[0] }, "a list"],
  [
    "a handler that is no function",
    InboxWorker,
    { storage, broker, consumerName: "c", topics: ["t"], handle: { "a.b": 1 } },
    "functions by name",
  ],
  ["a timer that would go off at once", PostgreSQLStorage, { pool, writeTimeoutMs: 1e12 }, "86400000"],
  ["no number", PostgreSQLStorage, { pool, idSkewMsMax: Number.NaN }, "whole number"],
  ["a size of a batch beyond the bound", OutboxWorker, { storage, broker, batchMax: 10_001 }, "1 to 10000"],
] as const)("%s is refused", (_what, Class, options, rule) => {
  expect(refusalOf(() => new (Class as unknown as Made)(options))).toContain(rule);
});
