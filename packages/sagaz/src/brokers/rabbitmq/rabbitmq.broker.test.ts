import { connect } from "amqplib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findRabbitMQ, startRabbitMQ } from "../../../../../tools/servers/rabbitmq.ts";
import type { TestBroker } from "../../../../../tools/servers/scratch-broker.ts";
import { brokerRules, toTitle, unmetNeeds } from "../../testing/index.ts";
import type { BrokerNeed, OpenBroker } from "../../testing/index.ts";
import type { AmqpConnection } from "./index.ts";
import { RabbitMQBroker } from "./index.ts";

const provided: readonly BrokerNeed[] = ["outage", "refused", "unknownTopic", "crash"];
const bytesMax = 1_000_000;

const found = await findRabbitMQ({ own: true });
let server: TestBroker;

beforeAll(async () => {
  if ("missing" in found) return;
  // The server takes less than it does by itself, so that a rule need not send it 128 MiB.
  server = await startRabbitMQ(found, { settings: { max_message_size: bytesMax } });
});

afterAll(async () => {
  if (!("missing" in found)) await server.stop();
});

let topics = 0;

const open: OpenBroker = async () => {
  const brokers: RabbitMQBroker[] = [];
  const make = (connectTo: () => Promise<AmqpConnection>) => {
    const broker = new RabbitMQBroker({ connect: connectTo });
    brokers.push(broker);
    return broker;
  };
  const another = () => make(() => connect(server.url, { noDelay: true, timeout: 5_000 }));
  const broker = another();
  await broker.start();
  let isAway = false;
  const outage = {
    async begin() {
      isAway = true;
      await server.kill();
    },
    async end() {
      await server.restart();
      isAway = false;
    },
  };
  return {
    broker,
    another,
    async topic() {
      const topic = `topic.${topics++}`;
      const first = { group: "first", topics: [topic], unackedMax: 1, handle: () => {} };
      await (await broker.subscribe(first)).stop();
      return topic;
    },
    outage,
    refused: (topic, key) => ({ topic, key, headers: {}, payload: new Uint8Array(bytesMax + 1) }),
    unknownTopic: () => "nobody.listens",
    async crash() {
      const sockets: { destroy(error: Error): void }[] = [];
      let isDead = false;
      const mortal = make(async () => {
        if (isDead) throw new Error("it is dead");
        const connection = await connect(server.url, { noDelay: true });
        sockets.push((connection.connection as unknown as { stream: (typeof sockets)[0] }).stream);
        return connection;
      });
      await mortal.start();
      const die = async () => {
        isDead = true;
        for (const socket of sockets) socket.destroy(new Error("it is dead"));
      };
      return { broker: mortal, die };
    },
    async close() {
      if (isAway) await outage.end();
      await Promise.all(brokers.map((one) => one.stop()));
    },
  };
};

for (const rule of brokerRules) {
  test(toTitle(rule, unmetNeeds(rule, provided)), async ({ skip }) => {
    if ("missing" in found) return skip(found.missing);
    expect(unmetNeeds(rule, provided)).toEqual([]);
    await rule.check(open);
  });
}
