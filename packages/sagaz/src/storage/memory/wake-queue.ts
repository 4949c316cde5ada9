/** What a {@link WakeQueue} holds. It keeps each one's place in it, so that one can leave from the middle. */
export interface Sleeper {
  readonly sagaId: string;
  wakeAt: number | null;
  /** Index in the queue's heap, or -1 outside. The queue's own. */
  place: number;
}

/**
 * What waits to be claimed, longest due first: sagas, or queues of them.
 *
 * A binary heap whose members know their place (Sedgewick & Wayne, Algorithms, 4th edition, section 2.4: index
 * priority queue), so that joining and leaving cost O(log n) and looking costs nothing, however many sagas have ended.
 */
export class WakeQueue<Member extends Sleeper> {
  readonly #heap: Member[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The one that has been due longest at this time, or undefined when none is due. */
  due(now: number): Member | undefined {
    const first = this.#heap[0];
    return first && dueAt(first) <= now ? first : undefined;
  }

  /** Lets one in, or to its new place when its time has changed. */
  put(member: Member): void {
    if (member.place < 0) member.place = this.#heap.push(member) - 1;
    this.#rise(member);
    this.#sink(member);
  }

  /** Lets one out; nothing happens when it is not in. */
  remove(member: Member): void {
    if (member.place < 0) return;
    const last = this.#heap.pop();
    if (last && last !== member) {
      this.#seat(last, member.place);
      this.#rise(last);
      this.#sink(last);
    }
    member.place = -1;
  }

  #rise(member: Member): void {
    while (member.place > 0) {
      const parent = this.#heap[(member.place - 1) >> 1];
      if (!parent || !isBefore(member, parent)) return;
      this.#swap(member, parent);
    }
  }

  #sink(member: Member): void {
    for (;;) {
      const left = this.#heap[2 * member.place + 1];
      const right = this.#heap[2 * member.place + 2];
      const child = right && left && isBefore(right, left) ? right : left;
      if (!child || !isBefore(child, member)) return;
      this.#swap(member, child);
    }
  }

  #swap(one: Member, other: Member): void {
    const place = one.place;
    this.#seat(one, other.place);
    this.#seat(other, place);
  }

  #seat(member: Member, place: number): void {
    this.#heap[place] = member;
    member.place = place;
  }
}

/** Tells which of two has been due longer; ids decide between equals, so that the order can be repeated. */
export function isBefore(one: Sleeper, other: Sleeper): boolean {
  const [a, b] = [dueAt(one), dueAt(other)];
  return a < b || (a === b && one.sagaId < other.sagaId);
}

function dueAt(member: Sleeper): number {
  return member.wakeAt ?? Number.POSITIVE_INFINITY;
}
