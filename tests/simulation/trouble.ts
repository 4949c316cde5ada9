import { InMemoryBroker } from "../../packages/sagaz/src/brokers/memory/index.ts";
import type { FakeClock } from "../../packages/sagaz/src/testing/fake-clock.ts";
import type { SeededChance } from "../../packages/sagaz/src/testing/seeded-chance.ts";
import { calm } from "../../packages/sagaz/src/testing/simulator/faults.ts";
import type { Faults } from "../../packages/sagaz/src/testing/simulator/faults.ts";
import type { History } from "../../packages/sagaz/src/testing/simulator/history.ts";
import type { Machine } from "./machine.ts";

/** What trouble is made of. */
export interface TroubleParts {
  readonly clock: FakeClock;
  readonly history: History;
  readonly chance: SeededChance;
  readonly faults: Faults;
  /** Nothing goes wrong: calls take their time, and processes come and go in good order. */
  readonly isNormal: boolean;
}

/** What goes wrong in a world of machines: they come and go, and what lies between them is slow, loses answers, or is away. */
export class Trouble {
  /** The broker that all machines share. */
  readonly server = new InMemoryBroker();
  readonly isNormal: boolean;
  readonly #parts: TroubleParts;
  #faults: Faults;
  #storageAwayUntil = 0;
  #brokerAwayUntil = 0;

  constructor(parts: TroubleParts) {
    this.#parts = parts;
    this.isNormal = parts.isNormal;
    this.#faults = parts.isNormal ? { ...calm, slowStorage: 0.5, slowMs: 100 } : parts.faults;
  }

  get faults(): Faults {
    return this.#faults;
  }

  /** What a machine's lines look at. */
  get lines() {
    const { clock, history } = this.#parts;
    return {
      server: this.server,
      clock,
      history,
      faults: () => this.#faults,
      isDown: () => clock.monotonic() < this.#storageAwayUntil,
      isAway: () => clock.monotonic() < this.#brokerAwayUntil,
    };
  }

  /** Something happens to a machine, or to what it needs. */
  strike(machine: Machine): void {
    const { chance } = this.#parts;
    if (this.isNormal) {
      if (chance.happens(0.3)) this.#stop(machine);
      return;
    }
    const strikes: readonly [() => void, ...(() => void)[]] = [
      () => machine.crash(),
      () => machine.crash(),
      () => this.#halt(machine),
      () => this.#halt(machine),
      () => this.#stop(machine),
      () => machine.broker.cut(),
      () => this.#storageGoesAway(),
      () => this.#brokerGoesAway(),
    ];
    chance.pick(strikes)();
  }

  /** From now on nothing goes wrong any more. */
  end(): void {
    this.#parts.history.note("all faults end");
    if (!this.isNormal) this.#faults = calm;
    this.#storageAwayUntil = 0;
    this.#brokerAwayUntil = 0;
    this.server.comeBack();
  }

  #stop(machine: Machine): void {
    this.#parts.history.saw("stops");
    machine.stop();
  }

  #halt(machine: Machine): void {
    const { clock, chance, history } = this.#parts;
    if (machine.isHalted) return machine.goOn();
    history.saw("pauses");
    machine.halt(chance.pick(["frozen", "overslept"] as const));
    clock.setTimer(chance.pick([200, 2_000, 12_000] as const), () => machine.goOn());
  }

  #storageGoesAway(): void {
    const { clock, chance, history } = this.#parts;
    const forMs = chance.pick([100, 1_000, 8_000] as const);
    history.saw("outages");
    history.note(`the storage is away for ${forMs} ms`);
    this.#storageAwayUntil = clock.monotonic() + forMs;
  }

  #brokerGoesAway(): void {
    const { clock, chance, history } = this.#parts;
    const forMs = chance.pick([100, 1_000, 20_000] as const);
    history.saw("broker outages");
    history.note(`the broker is away for ${forMs} ms`);
    this.#brokerAwayUntil = clock.monotonic() + forMs;
    this.server.goAway();
    clock.setTimer(forMs, () => this.#brokerComesBack());
  }

  #brokerComesBack(): void {
    if (this.#parts.clock.monotonic() >= this.#brokerAwayUntil) this.server.comeBack();
  }
}
