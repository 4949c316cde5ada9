import type { BrokerMessage, ReceivedMessage } from "../../ports/broker.ts";

/** Messages of one topic in order, and how far each group has come with them. */
export class TopicLog {
  readonly #name: string;
  readonly #keptMax: number;
  #messages: ReceivedMessage[] = [];
  /** Place of `#messages[0]` among all that ever came. */
  #first = 0;
  readonly groups = new Map<string, GroupPlace>();

  constructor(name: string, keptMax: number) {
    this.#name = name;
    this.#keptMax = keptMax;
  }

  /** True while a group that has not read enough keeps the log from taking more. */
  get isFull(): boolean {
    if (this.#messages.length < this.#keptMax) return false;
    this.#trim();
    return this.#messages.length >= this.#keptMax;
  }

  /** Forgets the oldest half, as far as every group has done with it. */
  #trim(): void {
    let until = this.#first + Math.ceil(this.#keptMax / 2);
    for (const group of this.groups.values()) until = Math.min(until, group.doneBelow);
    this.#messages = this.#messages.slice(until - this.#first);
    this.#first = until;
  }

  push({ key, headers, payload }: BrokerMessage): void {
    const bytes = typeof payload === "string" ? Buffer.from(payload) : Buffer.from(payload); // a copy
    this.#messages.push({ topic: this.#name, key, headers: { ...headers }, payload: bytes });
  }

  /** The place of a group; a new one begins with the oldest message. */
  ensureGroup(group: string): GroupPlace {
    const known = this.groups.get(group);
    if (known) return known;
    const place = new GroupPlace(this.#first);
    this.groups.set(group, place);
    return place;
  }

  /** Up to `limit` messages that the group has not been given yet, with their places. */
  take(group: GroupPlace, limit: number): readonly (readonly [place: number, message: ReceivedMessage])[] {
    const taken: (readonly [number, ReceivedMessage])[] = [];
    const end = this.#first + this.#messages.length;
    for (; group.next < end && taken.length < limit; group.next += 1) {
      const message = this.#messages[group.next - this.#first];
      // A copy each time: what is handed over again is not what was handed over before.
      if (message && !group.isDone(group.next)) taken.push([group.next, { ...message }]);
    }
    return taken;
  }
}

/** How far a group has come. */
export class GroupPlace {
  /** What is handed over next. */
  next: number;
  /** Everything before is acknowledged. */
  doneBelow: number;
  /** What is acknowledged after that. */
  readonly #done = new Set<number>();

  constructor(first: number) {
    this.next = first;
    this.doneBelow = first;
  }

  isDone(place: number): boolean {
    return place < this.doneBelow || this.#done.has(place);
  }

  done(place: number): void {
    if (place >= this.doneBelow) this.#done.add(place);
    while (this.#done.delete(this.doneBelow)) this.doneBelow += 1;
  }

  /** What was handed over and not acknowledged comes again. */
  rewind(): void {
    this.next = this.doneBelow;
  }
}
