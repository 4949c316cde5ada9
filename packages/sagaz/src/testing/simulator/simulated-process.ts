import type { SagaDefinition } from "../../core/definition/definition.ts";
import { isSagaError } from "../../core/errors.ts";
import type { Log } from "../../ports/log.ts";
import type { SagaStorage } from "../../ports/storage.ts";
import { SagaOrchestrator } from "../../runtime/orchestrator.ts";
import type { FakeClock } from "../fake-clock.ts";
import type { SeededChance } from "../seeded-chance.ts";
import type { Faults } from "./faults.ts";
import { FaultyLine } from "./faulty-line.ts";
import type { History } from "./history.ts";
import { SimulatedMachine } from "./simulated-machine.ts";
import { overBadLine } from "./step-calls.ts";
import type { CallWatcher } from "./step-calls.ts";

/** What a process is made of. */
export interface ProcessParts {
  readonly name: string;
  readonly storage: SagaStorage;
  readonly definitions: readonly SagaDefinition[];
  readonly clock: FakeClock;
  readonly chance: SeededChance;
  readonly history: History;
  readonly faults: () => Faults;
  readonly isDown: () => boolean;
  readonly underway: { count: number };
  readonly watch: (process: SimulatedProcess) => CallWatcher;
  /** A machine whose clock tells the right time. */
  readonly punctual?: boolean;
}

/** A process with the real engine in it, on a machine and a network of its own. */
export class SimulatedProcess extends SimulatedMachine {
  readonly orchestrator: SagaOrchestrator;
  /** The definitions that it can run. */
  readonly held: readonly SagaDefinition[];
  /** The lease that it registered last. */
  epoch = 0;

  constructor(parts: ProcessParts) {
    super({ ...parts, ...(parts.punctual ? {} : { skew: drawSkew(parts) }) });
    const { name, chance } = parts;
    this.held = parts.definitions;
    const calls = { ...parts, chance: chance.fork(), receiver: this, watcher: parts.watch(this) };
    const line = new FaultyLine({
      ...parts,
      chance: chance.fork(),
      receiver: this,
      storage: this.#noticeEpoch(parts.storage),
    });
    this.orchestrator = new SagaOrchestrator({
      storage: line.storage,
      sagas: parts.definitions.map((definition) => overBadLine(definition, calls)),
      workerName: name,
      clock: this.clock,
      chance: chance.fork(),
      log: this.#log(),
      leaseMs: chance.pick([600, 1_500, 5_000] as const),
      sagasInFlightMax: chance.pick([1, 3, 100] as const),
      ...drawTenantLimit(chance),
      stopMs: chance.pick([0, 500, 3_000] as const),
    });
  }

  #noticeEpoch(storage: SagaStorage): SagaStorage {
    const register: SagaStorage["leases"]["register"] = async (worker) => {
      const registered = await storage.leases.register(worker);
      this.epoch = registered.epoch;
      this.history.note(`${this.name} is worker ${registered.epoch}`);
      return registered;
    };
    return { ...storage, leases: { ...storage.leases, register } };
  }

  #log(): Log {
    const say = (message: string, details?: Readonly<Record<string, unknown>>) =>
      this.history.note(`${this.name}: ${message} ${JSON.stringify(details ?? {})}`);
    const alarm: Log["error"] = (message, details) => {
      say(message, details);
      if (message.includes("bug")) this.history.breach("no saga gets stuck", JSON.stringify(details));
    };
    return { debug: say, info: say, warn: say, error: alarm };
  }

  /** Starts it. One that cannot start, dies, as a program would that gives up. */
  start(): void {
    this.history.note(`${this.name} starts`);
    this.orchestrator.start().catch((error: unknown) => {
      this.history.note(`${this.name} could not start: ${String(error)}`);
      if (isSagaError(error) && error.retryable) this.crash();
      else this.history.breach("a process can start", String(error));
    });
  }

  protected stopAll(): Promise<unknown> {
    return this.orchestrator.stop();
  }
}

function drawTenantLimit(chance: SeededChance): { sagasPerTenantMax?: number } {
  return chance.happens(0.5) ? { sagasPerTenantMax: chance.pick([1, 1, 2] as const) } : {};
}

/** Off by up to an hour, and a little too fast or too slow. */
function drawSkew({ chance, history }: ProcessParts): { offsetMs: number; rate: number } {
  if (!chance.happens(0.3)) return { offsetMs: 0, rate: 1 };
  history.saw("skews");
  const offsetMs = Math.round((chance.next() * 2 - 1) * 3_600_000);
  return { offsetMs, rate: 1 + (chance.next() * 2 - 1) * 0.05 };
}
