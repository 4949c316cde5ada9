import { isSagaError } from "../../packages/sagaz/src/core/errors.ts";
import type { Log } from "../../packages/sagaz/src/ports/log.ts";
import type { SagaStorage } from "../../packages/sagaz/src/ports/storage.ts";
import { FaultyLine } from "../../packages/sagaz/src/testing/simulator/faulty-line.ts";
import type { LineParts } from "../../packages/sagaz/src/testing/simulator/faulty-line.ts";
import { SimulatedMachine } from "../../packages/sagaz/src/testing/simulator/simulated-machine.ts";
import { FaultyBroker } from "./delivery/faulty-broker.ts";
import type { FaultyBrokerParts } from "./delivery/faulty-broker.ts";

/** What a process is made of. */
export interface MachineParts extends Omit<LineParts, "receiver">, Omit<FaultyBrokerParts, "receiver"> {
  readonly name: string;
}

/** What lives in a process. */
interface Member {
  start(): Promise<unknown>;
  stop(): Promise<unknown>;
}

/** A process with parts of the library in it, on a clock and lines of its own. */
export class Machine extends SimulatedMachine {
  readonly broker: FaultyBroker;
  readonly #parts: MachineParts;
  readonly #storage: SagaStorage;
  readonly #members: Member[] = [];
  readonly #died: Promise<never>;
  #die: (error: Error) => void = () => {};

  constructor(parts: MachineParts) {
    super(parts);
    this.#parts = parts;
    const { chance } = parts;
    this.#died = new Promise((_, reject) => (this.#die = reject));
    this.#died.catch(() => {}); // heard by the transactions that are open then
    this.broker = new FaultyBroker({ ...parts, chance: chance.fork(), receiver: this });
    const storage = this.#withSessions(parts.storage);
    this.#storage = new FaultyLine({ ...parts, chance: chance.fork(), receiver: this, storage }).storage;
  }

  /** What its members are given: the world as this machine reaches it. */
  get around() {
    const { broker, clock } = this;
    return { storage: this.#storage, clock, log: this.#log(), broker };
  }

  /** Puts a part into it; the last one stops first. */
  add<Part extends Member>(member: Part): Part {
    this.#members.push(member);
    return member;
  }

  /** A transaction ends with its process. */
  #withSessions(storage: SagaStorage): SagaStorage {
    const { inbox } = storage;
    const process: typeof inbox.process = (request, work) =>
      inbox.process(request, (tx, fresh) => Promise.race([this.#died, work(tx, fresh)]));
    return { ...storage, inbox: { ...inbox, process } };
  }

  #log(): Log {
    const say = (message: string, details?: Readonly<Record<string, unknown>>) =>
      this.history.note(`${this.name}: ${message} ${JSON.stringify(details ?? {})}`);
    return { debug: say, info: say, warn: say, error: say };
  }

  /** Starts all that is in it. One that cannot start, dies, as a program would that gives up. */
  start(): void {
    this.history.note(`${this.name} starts`);
    for (const member of this.#members)
      member.start().catch((error: unknown) => {
        this.history.note(`${this.name} could not start: ${String(error)}`);
        if (isSagaError(error, "SAGAZ_BROKER_UNAVAILABLE")) return;
        if (isSagaError(error) && error.retryable) this.crash();
        else if (this.isUp && !this.isHalted) this.history.breach("a process can start", String(error));
      });
  }

  override crash(): void {
    if (this.isDead) return;
    this.history.saw("crashes");
    super.crash();
    this.#die(new Error("its process has died"));
    void this.broker.stop();
  }

  /** Perhaps the broker takes it for gone. */
  override halt(how: "frozen" | "overslept"): void {
    if (!this.isUp || this.isHalted) return;
    super.halt(how);
    if (this.#parts.chance.happens(0.5)) this.broker.cut();
  }

  protected async stopAll(): Promise<void> {
    for (const member of this.#members.toReversed()) await member.stop();
  }
}
