/** Names of what is kept in Redis. */
export class Keys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The stream that holds the messages of a topic. */
  stream(topic: string): string {
    return `${this.#prefix}topic:${topic}`;
  }

  /** Which subscription of a group reads a topic. The group is written so that two pairs never share a key. */
  lease(group: string, topic: string): string {
    return `${this.#prefix}reader:${encodeURIComponent(group)}:${topic}`;
  }
}
