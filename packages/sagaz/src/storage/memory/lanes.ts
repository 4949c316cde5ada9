import { WakeQueue } from "./wake-queue.ts";
import type { Sleeper } from "./wake-queue.ts";

/** What waits in a lane: a saga's record. */
interface Member extends Sleeper {
  readonly tenantId: string | null;
}

/** Sagas of one tenant, or of none; it stands where the one of them stands that is due longest. */
class Lane<Saga extends Member> implements Sleeper {
  readonly members = new WakeQueue<Saga>();
  place = -1;

  get first(): Saga | undefined {
    return this.members.due(Number.POSITIVE_INFINITY);
  }
  get sagaId(): string {
    return this.first?.sagaId ?? "";
  }
  get wakeAt(): number | null {
    return this.first?.wakeAt ?? null;
  }
}

/**
 * Sagas of one definition that nobody owns, longest due first: a queue of queues, one a tenant, so that a full tenant
 * is passed over in one step, however many of its sagas wait.
 */
export class Lanes<Saga extends Member> {
  readonly #lanes = new Map<string | null, Lane<Saga>>();
  readonly #queue = new WakeQueue<Lane<Saga>>();

  /** The one that has been due longest at this time and is not of a full tenant, or undefined when none is due. */
  due(now: number, isFull: (tenantId: string | null) => boolean = () => false): Saga | undefined {
    const full: Lane<Saga>[] = [];
    let lane = this.#queue.due(now);
    while (lane?.first && isFull(lane.first.tenantId)) {
      this.#queue.remove(lane);
      full.push(lane);
      lane = this.#queue.due(now);
    }
    for (const one of full) this.#queue.put(one);
    return lane?.first;
  }

  /** Lets one in, or to its new place when its time has changed. */
  put(saga: Saga): void {
    const lane = this.#lanes.get(saga.tenantId) ?? new Lane<Saga>();
    this.#lanes.set(saga.tenantId, lane);
    lane.members.put(saga);
    this.#queue.put(lane);
  }

  /** Lets one out; nothing happens when it is not in. */
  remove(saga: Saga): void {
    const lane = this.#lanes.get(saga.tenantId);
    if (!lane) return;
    lane.members.remove(saga);
    if (lane.first) return this.#queue.put(lane);
    this.#queue.remove(lane);
    this.#lanes.delete(saga.tenantId);
  }
}
