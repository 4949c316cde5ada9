import { isSagaError } from "../../packages/sagaz/src/core/errors.ts";
import type { Log } from "../../packages/sagaz/src/ports/log.ts";
import type { SagaStorage } from "../../packages/sagaz/src/ports/storage.ts";
import { FaultyLine } from "../../packages/sagaz/src/testing/simulator/faulty-line.ts";
import type { LineParts, Receiver } from "../../packages/sagaz/src/testing/simulator/faulty-line.ts";
import { ProcessClock } from "../../packages/sagaz/src/testing/simulator/process-clock.ts";
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

/** A process with parts of the library in it, on a clock and lines of its own, which can die, halt and stop. */
export class Machine implements Receiver {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly broker: FaultyBroker;
  readonly #parts: MachineParts;
  readonly #storage: SagaStorage;
  readonly #members: Member[] = [];
  readonly #died: Promise<never>;
  #die: (error: Error) => void = () => {};
  #state: "running" | "halted" | "dead" | "stopping" | "stopped" = "running";
  #held: (() => void)[] = [];

  constructor(parts: MachineParts) {
    this.#parts = parts;
    const { chance, name } = parts;
    this.name = name;
    this.clock = new ProcessClock(parts.clock);
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
    const { history } = this.#parts;
    const say = (message: string, details?: Readonly<Record<string, unknown>>) =>
      history.note(`${this.name}: ${message} ${JSON.stringify(details ?? {})}`);
    return { debug: say, info: say, warn: say, error: say };
  }

  get isRunning(): boolean {
    return this.#state === "running" || this.#state === "stopping";
  }
  get isDead(): boolean {
    return this.#state === "dead";
  }
  get isHalted(): boolean {
    return this.#state === "halted";
  }
  /** It has neither died nor been told to stop. */
  get isUp(): boolean {
    return this.#state === "running" || this.#state === "halted";
  }

  deliver(call: () => void): void {
    if (this.#state === "dead") return;
    if (this.#state === "halted") this.#held.push(call);
    else call();
  }

  /** Starts all that is in it. One that cannot start, dies, as a program would that gives up. */
  start(): void {
    const { history } = this.#parts;
    history.note(`${this.name} starts`);
    for (const member of this.#members)
      member.start().catch((error: unknown) => {
        history.note(`${this.name} could not start: ${String(error)}`);
        if (isSagaError(error, "SAGAZ_BROKER_UNAVAILABLE")) return;
        if (isSagaError(error) && error.retryable) this.crash();
        else if (this.#state === "running") history.breach("a process can start", String(error));
      });
  }

  /** It dies in the middle of whatever it does, and hears of nothing again. */
  crash(): void {
    if (this.#state === "dead") return;
    this.#parts.history.saw("crashes");
    this.#parts.history.note(`${this.name} crashes`);
    this.#state = "dead";
    this.#held = [];
    this.clock.kill();
    this.#die(new Error("its process has died"));
    void this.broker.stop();
  }

  /** It stands still, and does not know; perhaps the broker takes it for gone. */
  halt(how: "frozen" | "overslept"): void {
    if (this.#state !== "running") return;
    this.#parts.history.note(`${this.name} halts (${how})`);
    this.#state = "halted";
    this.clock.halt(how);
    if (this.#parts.chance.happens(0.5)) this.broker.cut();
  }

  /** It goes on where it stood: perhaps with work that is another's by now. */
  goOn(): void {
    if (this.#state !== "halted") return;
    this.#parts.history.note(`${this.name} goes on`);
    this.#state = "running";
    this.clock.goOn();
    const held = this.#held;
    this.#held = [];
    for (const call of held) call();
  }

  /** Tells it to stop in good order. */
  stop(): void {
    if (this.#state !== "running") return;
    const { history } = this.#parts;
    history.note(`${this.name} is told to stop`);
    this.#state = "stopping";
    const stopAll = async () => {
      for (const member of this.#members.toReversed()) await member.stop();
    };
    stopAll().then(
      () => {
        if (this.#state === "stopping") this.#state = "stopped";
        history.note(`${this.name} has stopped`);
      },
      (error: unknown) => history.breach("a process can stop", String(error)),
    );
  }
}
