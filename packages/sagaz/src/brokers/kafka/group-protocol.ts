/** Partitions by topic. */
export type Partitions = ReadonlyMap<string, readonly number[]>;

/** What a member tells its group. */
export interface MemberWishes {
  readonly topics: readonly string[];
  /** What it had until now. */
  readonly owned: Partitions;
}

/*
 * The two texts in which members of a group talk to each other through the broker: ConsumerProtocolSubscription and
 * ConsumerProtocolAssignment, both in version 1, which Kafka's own tools read.
 */
const version = 1;

export function encodeWishes({ topics, owned }: MemberWishes): Buffer {
  return Buffer.concat([
    int16(version),
    list(topics.map(text)),
    int32(-1), // nothing of our own
    encodePartitions(owned),
  ]);
}

/** A member that says nothing wants nothing: it must not keep the leader from sharing out. */
export function decodeWishes(bytes: Buffer | null): MemberWishes {
  if (bytes === null || bytes.length < 2) return { topics: [], owned: new Map() };
  const reader = new ByteReader(bytes);
  const found = reader.int16();
  const topics = reader.list(() => reader.text());
  reader.skip(reader.int32());
  return { topics, owned: found >= 1 ? reader.partitions() : new Map() };
}

export function encodeAssignment(partitions: Partitions): Buffer {
  return Buffer.concat([int16(version), encodePartitions(partitions), int32(-1)]);
}

/** A member that gets nothing may get an empty text. */
export function decodeAssignment(bytes: Buffer): Partitions {
  const reader = new ByteReader(bytes);
  if (bytes.length < 2) return new Map();
  reader.int16();
  return reader.partitions();
}

function encodePartitions(partitions: Partitions): Buffer {
  return list(
    Array.from(partitions, ([topic, numbers]) => Buffer.concat([text(topic), list(numbers.map(int32))])),
  );
}

function list(parts: readonly Buffer[]): Buffer {
  return Buffer.concat([int32(parts.length), ...parts]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int16(bytes.length), bytes]);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.skip(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.skip(4));
  }

  text(): string {
    const length = this.int16();
    const at = this.skip(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  list<Item>(item: () => Item): Item[] {
    return Array.from({ length: Math.max(0, this.int32()) }, item);
  }

  partitions(): Partitions {
    return new Map(this.list(() => [this.text(), this.list(() => this.int32())] as const));
  }

  /** Answers where it was. */
  skip(bytes: number): number {
    const at = this.#at;
    this.#at += Math.max(0, bytes);
    return at;
  }
}
