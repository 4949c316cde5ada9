import { setTimeout as pause } from "node:timers/promises";
import { SagaError } from "../../core/errors.ts";
import { kindOf } from "./batch-answer.ts";
import type { Cluster } from "./cluster.ts";
import { Connections, type Address } from "./connections.ts";
import { unavailable } from "./error-codes.ts";
import { Lane, type BatchIdentity } from "./lane.ts";
import type { Outgoing } from "./outgoing.ts";
import { produce, type LaneBatch } from "./produce.ts";
import { ProducerIdentity } from "./producer-identity.ts";
import type { Topics } from "./topics.ts";

/** One request carries about so much at most; a batch is never divided for it. */
const requestBytesMax = 8_388_608;

/** Lanes that have something to send to one broker. */
interface Load {
  readonly address: Address;
  readonly lanes: Lane[];
}

/**
 * Sends what is in the lanes: to each broker one request is under way at a time, and what comes meanwhile goes with the
 * next one. A partition in trouble keeps none but its own messages waiting.
 */
export class Sender {
  readonly #cluster: Cluster;
  readonly #topics: Topics;
  readonly #batchBytesMax: number;
  readonly #connections: Connections;
  readonly #identity: ProducerIdentity;
  /** Of each topic the lanes to its partitions. */
  readonly #lanes = new Map<string, Lane[]>();
  /** Lanes that have something to send; who was served last is the last. */
  readonly #loaded = new Set<Lane>();
  /** Brokers that a request is under way to. */
  readonly #busy = new Set<string>();
  /** Topics that take less than others in a batch. */
  readonly #bytesMax = new Map<string, number>();
  #isClosed = false;

  constructor(cluster: Cluster, topics: Topics, batchBytesMax: number) {
    this.#cluster = cluster;
    this.#topics = topics;
    this.#batchBytesMax = batchBytesMax;
    this.#connections = new Connections(cluster.access);
    this.#identity = new ProducerIdentity(cluster);
  }

  /** Takes a message; `pump` sends it. */
  push(message: Outgoing): void {
    const { topic, partition } = message;
    let lanes = this.#lanes.get(topic);
    if (!lanes) this.#lanes.set(topic, (lanes = []));
    const lane = (lanes[partition] ??= new Lane(topic, partition));
    this.#loaded.add(lane);
    lane.push(message);
  }

  /** Gives up what is not answered yet. */
  close(): void {
    this.#isClosed = true;
    this.#connections.close();
    this.pump();
  }

  /** Sends what can be sent now. Whatever happens to a lane ends here again. */
  pump(): void {
    const now = this.#isClosed ? Infinity : performance.now();
    const loads = new Map<string, Load>();
    for (const lane of this.#loaded) {
      if (lane.isBusy) continue;
      if (!lane.expire(now)) this.#identity.forget();
      if (lane.isEmpty) this.#loaded.delete(lane);
      else this.#sort(lane, loads);
    }
    for (const [name, load] of loads) if (!this.#busy.has(name)) void this.#serve(name, load);
  }

  #sort(lane: Lane, loads: Map<string, Load>): void {
    const address = this.#topics.leaderOf(lane.topic, lane.partition);
    if (!address) {
      this.#fail(lane, unavailable(`nobody leads partition ${lane.partition} of "${lane.topic}"`));
      return;
    }
    const name = `${address.host}:${address.port}`;
    const load = loads.get(name) ?? { address, lanes: [] };
    load.lanes.push(lane);
    loads.set(name, load);
  }

  async #serve(name: string, { address, lanes }: Load): Promise<void> {
    this.#busy.add(name);
    for (const lane of lanes) lane.isBusy = true;
    const identity = await this.#identity.get().catch(unavailable);
    if (identity instanceof SagaError) for (const lane of lanes) this.#fail(lane, identity);
    else await this.#send(address, this.#take(lanes, identity));
    this.#busy.delete(name);
    this.pump();
  }

  /** Takes a batch from each lane as far as there is room; the other lanes are free again. */
  #take(lanes: readonly Lane[], identity: BatchIdentity): readonly LaneBatch[] {
    const batches: LaneBatch[] = [];
    let room = requestBytesMax;
    for (const lane of lanes) {
      const bytesMax = this.#bytesMax.get(lane.topic) ?? this.#batchBytesMax;
      const batch = room > 0 ? lane.next(identity, bytesMax) : undefined;
      if (batch) {
        batches.push({ lane, batch });
        room -= batch.bytes;
        this.#loaded.delete(lane);
        this.#loaded.add(lane);
      } else lane.isBusy = false;
    }
    return batches;
  }

  async #send(address: Address, batches: readonly LaneBatch[]): Promise<void> {
    if (batches.length === 0) return;
    const via = { connections: this.#connections, access: this.#cluster.access, address };
    const answers = await produce(via, batches);
    for (const [n, { lane, batch }] of batches.entries()) {
      const answer = answers[n];
      if (answer === undefined || answer instanceof Error) {
        this.#fail(lane, unavailable(answer), true);
        continue;
      }
      if (kindOf(answer) === "too large") this.#bytesMax.set(lane.topic, Math.floor(batch.bytes / 2)); // to be found by halves
      if (!lane.settle(answer)) this.#identity.forget();
      if (lane.restMs > 0) this.#rest(lane);
      else lane.isBusy = false;
    }
  }

  #fail(lane: Lane, trouble: SagaError, isInDoubt = false): void {
    lane.fail(trouble, isInDoubt);
    this.#rest(lane);
  }

  /** Meanwhile it is looked up who leads the lane now. */
  #rest(lane: Lane): void {
    lane.isBusy = true;
    void this.#topics.renew(lane.topic);
    void pause(lane.restMs).then(() => {
      lane.isBusy = false;
      this.pump();
    });
  }
}
