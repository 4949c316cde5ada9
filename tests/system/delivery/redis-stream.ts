import { Redis } from "ioredis";

/** What Redis itself tells of a topic. */
export class RedisStream {
  readonly #redis: Redis;
  readonly #key: string;

  constructor(url: string, topic: string) {
    this.#redis = new Redis(url, { lazyConnect: true });
    this.#redis.on("error", () => {}); // a broker that is killed
    this.#key = `sagaz:topic:${topic}`;
  }

  /** True when every group has all that the stream has had. */
  async isDrained(): Promise<boolean> {
    const last = await this.#tell("last-generated-id");
    const groups = (await this.#redis.xinfo("GROUPS", this.#key)) as unknown[][];
    return groups.every((group) => group[group.indexOf("last-delivered-id") + 1] === last);
  }

  /** How many messages it has ever had. */
  async added(): Promise<number> {
    return Number(await this.#tell("entries-added"));
  }

  stop(): void {
    this.#redis.disconnect();
  }

  async #tell(field: string): Promise<unknown> {
    const info = (await this.#redis.xinfo("STREAM", this.#key)) as unknown[];
    return info[info.indexOf(field) + 1];
  }
}
