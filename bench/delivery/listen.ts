import { randomUUID } from "node:crypto";
import { createBroker } from "sagaz";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import { topic } from "./events.ts";
import { machineMs } from "./machine-ms.ts";
import type { Times } from "./paced.ts";

/** Who receives all that is in the topic, and all that comes. */
export interface Listener {
  /** Waits until so many messages have been received, and tells when each was; then it listens no more. */
  heard(messages: number): Promise<Times>;
}

/** Receives by our adapter for the broker, in a group of its own. */
export async function listen(url: string): Promise<Listener> {
  const times: [string, number][] = [];
  const broker = await createBroker(url);
  await broker.start();
  const subscription = await broker.subscribe({
    group: randomUUID(),
    topics: [topic],
    unackedMax: 10_000,
    handle(messages) {
      const at = machineMs();
      for (const { headers } of messages) times.push([headers["ce_id"] ?? "", at]);
      subscription.ack(messages);
    },
  });
  return {
    async heard(messages) {
      await waitUntil("all have been received", () => times.length >= messages, { withinMs: 120_000 });
      await broker.stop();
      return times;
    },
  };
}
