import { createBroker, type BrokerMessage } from "sagaz";
import { brokerNamed } from "./brokers.ts";
import { newEvent } from "./events.ts";
import { Meter } from "./meter.ts";
import { batchSize } from "./plan.ts";
import { tappedBroker } from "./tapped-broker.ts";

/** What is published without a relay: through our adapter, or by the driver without anything of ours. */
export interface AloneTask {
  readonly broker: string;
  readonly url: string;
  readonly messages: number;
  readonly through: "adapter" | "driver";
}

/** Publishes the messages that a relay would, batch after batch, and tells how many a second. */
export async function publishAlone(task: AloneTask): Promise<number> {
  const meter = new Meter({ expected: task.messages, lot: batchSize });
  const client = await open(task, (count) => meter.note(count));
  const batches = Array.from({ length: task.messages / batchSize }, (_, batch) =>
    Array.from({ length: batchSize }, (__, n) => toMessage(batch * batchSize + n)),
  );
  for (const batch of batches) await client.publish(batch);
  await client.close();
  return meter.perSecond();
}

async function open(
  { broker, url, through }: AloneTask,
  note: (count: number) => void,
): Promise<{ publish(messages: readonly BrokerMessage[]): Promise<unknown>; close(): Promise<void> }> {
  if (through === "driver") {
    const bare = await brokerNamed(broker).openBare(url);
    return {
      publish: (messages) => bare.publish(messages).then(() => note(messages.length)),
      close: () => bare.close(),
    };
  }
  const adapter = tappedBroker(await createBroker(url), ({ length }) => note(length));
  await adapter.start();
  return { publish: (messages) => adapter.publish(messages), close: () => adapter.stop() };
}

/** With the headers that a relay gives the event. */
function toMessage(n: number): BrokerMessage {
  const { topic, type, key, payload } = newEvent(n);
  const headers = {
    ce_specversion: "1.0",
    ce_id: crypto.randomUUID(),
    ce_type: type,
    ce_source: "/bench",
    ce_time: new Date().toISOString(),
    "content-type": "application/json",
    ce_subject: key,
  };
  return { topic, key, headers, payload: JSON.stringify(payload) };
}
