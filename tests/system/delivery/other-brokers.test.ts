import { describe, expect, test } from "vitest";
import { findKafka, startKafka } from "../../../tools/servers/kafka.ts";
import { findNats, startNats } from "../../../tools/servers/nats.ts";
import { findRabbitMQ, startRabbitMQ } from "../../../tools/servers/rabbitmq.ts";
import type { TestBroker } from "../../../tools/servers/scratch-broker.ts";
import { nothingBroken } from "../ledger.ts";
import { auditDelivery } from "./delivery-audit.ts";
import { DeliveryTown, scenarioMsMax } from "./delivery-town.ts";
import { useServers, type StartBroker } from "./servers.ts";

/** Longer than any client waits for an answer. */
const standsStillMs = 7_000;

const brokers: readonly (readonly [name: string, start: StartBroker])[] = [
  [
    "Kafka",
    async () => {
      const found = await findKafka({ own: true });
      return "missing" in found ? found : startKafka(found);
    },
  ],
  [
    "RabbitMQ",
    async () => {
      const found = await findRabbitMQ({ own: true });
      return "missing" in found ? found : startRabbitMQ(found);
    },
  ],
  [
    "NATS",
    async () => {
      const found = await findNats({ own: true });
      return "missing" in found ? found : startNats(found);
    },
  ],
];

async function standStill(town: DeliveryTown, broker: TestBroker): Promise<void> {
  await broker.pause();
  const backAt = performance.now() + standsStillMs;
  await town.until("it has stood still for long", async () => performance.now() > backAt);
  await broker.resume();
}

describe.each(brokers)("over %s", (name, start) => {
  const servers = useServers(start);

  test(
    "a relay is killed, and the broker is restarted, stands still and is killed",
    { timeout: scenarioMsMax },
    async ({ skip }) => {
      await using town = await DeliveryTown.open(servers, skip);
      const broker = servers.broker(skip);
      await town.startConsumers();
      const [first] = await Promise.all([town.relay("a").ready(), town.relay("b").ready()]);
      const harms: readonly (() => Promise<unknown>)[] = [
        () => first.kill(),
        () => town.relay("c").ready(),
        () => broker.restart(),
        () => standStill(town, broker),
        async () => {
          await broker.kill();
          await broker.restart();
        },
      ];
      for (const harm of harms) await town.inTheMiddle(harm);
      await town.allArrive();

      const findings = await auditDelivery(town);
      expect(findings).toEqual(nothingBroken(findings));
      const { takeovers } = await town.report(`chaos over ${name}`, {});
      expect(takeovers).toBeGreaterThan(0);
      expect(town.crashed()).toEqual([]);
    },
  );
});
