import { setTimeout as delay } from "node:timers/promises";
import { Admin, ListOffsetTimestamps } from "@platformatic/kafka";
import { topic } from "./events.ts";
import { hostOf, partitionNumbers } from "./kafka-client.ts";
import { Meter } from "./meter.ts";

/** How often it is looked how much has come. */
const lookMs = 5;

/** What comes to the end of the topic, as the broker tells it: the same for whoever sends. */
export class TopicEnd {
  readonly #admin: Admin;

  constructor(url: string) {
    this.#admin = new Admin({ clientId: "bench", bootstrapBrokers: [hostOf(url)] });
  }

  /** How many messages the topic has ever had. */
  async total(): Promise<number> {
    const partitions = partitionNumbers.map((partitionIndex) => ({
      partitionIndex,
      timestamp: ListOffsetTimestamps.LATEST,
    }));
    const [listed] = await this.#admin.listOffsets({ topics: [{ name: topic, partitions }] });
    return listed?.partitions.reduce((sum, { offset }) => sum + Number(offset), 0) ?? Number.NaN;
  }

  /** Waits until it has had so many; tells at each look how many it has. */
  async comesTo(total: number, tell: (total: number) => void = () => {}): Promise<void> {
    for (;;) {
      const now = await this.total();
      tell(now);
      if (now >= total) return;
      await delay(lookMs);
    }
  }

  /**
   * Waits for so many messages and tells how many a second came, from when the first was seen until the last was.
   *
   * @throws Error when more have come.
   */
  async measure(messages: number): Promise<number> {
    const meter = new Meter({ expected: messages, lot: 1 });
    let seen = await this.total();
    await this.comesTo(seen + messages, (total) => {
      if (total > seen) meter.note(total - seen);
      seen = total;
    });
    return meter.perSecond();
  }

  close(): Promise<void> {
    return this.#admin.close();
  }
}
