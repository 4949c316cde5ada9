import type { ClockSkew, FakeClock } from "../fake-clock.ts";
import type { Receiver } from "./faulty-line.ts";
import type { History } from "./history.ts";
import { ProcessClock } from "./process-clock.ts";

/** What a machine is made of. */
export interface SimulatedMachineParts {
  readonly name: string;
  readonly clock: FakeClock;
  readonly history: History;
  /** How its clock is off. */
  readonly skew?: ClockSkew;
}

/** A process on a machine of its own: it can die, stand still and go on, and stop in good order. */
export abstract class SimulatedMachine implements Receiver {
  readonly name: string;
  readonly clock: ProcessClock;
  protected readonly history: History;
  #state: "running" | "halted" | "dead" | "stopping" | "stopped" = "running";
  /** What has arrived while it stood still. */
  #held: (() => void)[] = [];

  constructor({ name, clock, history, skew }: SimulatedMachineParts) {
    this.name = name;
    this.history = history;
    this.clock = new ProcessClock(clock, skew);
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
    if (this.isDead) return;
    if (this.isHalted) this.#held.push(call);
    else call();
  }

  /** It dies in the middle of whatever it does, and hears of nothing again. */
  crash(): void {
    if (this.isDead) return;
    this.history.note(`${this.name} crashes`);
    this.#state = "dead";
    this.#held = [];
    this.clock.kill();
  }

  /** It stands still, and does not know. */
  halt(how: "frozen" | "overslept"): void {
    if (this.#state !== "running") return;
    this.history.note(`${this.name} halts (${how})`);
    this.#state = "halted";
    this.clock.halt(how);
  }

  /** It goes on where it stood: perhaps with work that is another's by now. */
  goOn(): void {
    if (!this.isHalted) return;
    this.history.note(`${this.name} goes on`);
    this.#state = "running";
    this.clock.goOn();
    const held = this.#held;
    this.#held = [];
    for (const call of held) call();
  }

  /** Tells it to stop in good order. */
  stop(): void {
    if (this.#state !== "running") return;
    this.history.note(`${this.name} is told to stop`);
    this.#state = "stopping";
    this.stopAll().then(
      () => {
        if (this.#state === "stopping") this.#state = "stopped";
        this.history.note(`${this.name} has stopped`);
      },
      (error: unknown) => this.history.breach("a process can stop", String(error)),
    );
  }

  /** Stops what lives in it. */
  protected abstract stopAll(): Promise<unknown>;
}
