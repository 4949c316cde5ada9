import type { SagaDefinition } from "../../core/definition/definition.ts";
import { isSagaError } from "../../core/errors.ts";
import type { StartOptions } from "../../runtime/sagas.ts";
import { FakeClock } from "../fake-clock.ts";
import { SeededChance } from "../seeded-chance.ts";
import { judgeAttempt } from "./attempt-laws.ts";
import { calm, drawFaults } from "./faults.ts";
import type { Faults } from "./faults.ts";
import { judgeRest } from "./final-laws.ts";
import type { StartNote } from "./final-laws.ts";
import { History } from "./history.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { CallWatcher } from "./step-calls.ts";
import { short, WatchedStorage } from "./watched-storage.ts";

/** What a simulation is made of. */
export interface SimulationOptions {
  readonly seed: number;
  readonly definitions: readonly SagaDefinition[];
  /** Processes hold some of the definitions only, as during a deploy. */
  readonly patchy?: boolean;
  /** Watches the calls of steps, beside the laws of the engine. */
  readonly watch?: (process: SimulatedProcess) => CallWatcher;
}

const processesMax = 4;
/** Time that a simulation may need to come to rest once its faults are over, in milliseconds of its clock. */
const restMsMax = 600_000;
/** Step by which rest is awaited. */
const restStepMs = 500;
/** A rest without turmoil this long is one. */
const quietMs = 1_500;

/**
 * A world from one seed: a storage, up to four processes with the real engine, a clock that moves when told, and
 * everything that goes wrong between them. The same seed gives the same history, event by event.
 */
export class Simulation {
  readonly clock = new FakeClock();
  readonly chance: SeededChance;
  readonly history: History;
  readonly storage: WatchedStorage;
  readonly starts: StartNote[] = [];
  readonly underway = { count: 0 };
  readonly #options: SimulationOptions;
  readonly #processes: SimulatedProcess[] = [];
  #faults: Faults;
  #downUntil = 0;
  #databaseOffsetMs = 0;
  #isCalm = false;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.chance = new SeededChance(options.seed);
    this.history = new History(this.clock);
    this.#faults = drawFaults(this.chance.fork());
    const database = { now: () => this.clock.now() + this.#databaseOffsetMs };
    this.storage = new WatchedStorage(database, this.history);
  }

  /** Processes that are up, halted ones included. */
  get processes(): readonly SimulatedProcess[] {
    return this.#processes.filter(({ isUp }) => isUp);
  }

  /** Time of the database, in milliseconds since 1970. */
  now(): number {
    return this.clock.now() + this.#databaseOffsetMs;
  }

  /** Brings one more process up. */
  addProcess(definitions = this.#drawDefinitions()): SimulatedProcess {
    const process = new SimulatedProcess({
      name: `process ${this.#processes.length + 1}`,
      storage: this.storage.storage,
      definitions,
      clock: this.clock,
      chance: this.chance.fork(),
      history: this.history,
      underway: this.underway,
      faults: () => this.#faults,
      isDown: () => this.clock.monotonic() < this.#downUntil,
      watch: (process) => this.#watcher(process),
      punctual: this.#isCalm,
    });
    this.#processes.push(process);
    process.start();
    return process;
  }

  #drawDefinitions(): readonly SagaDefinition[] {
    const { definitions, patchy } = this.#options;
    return patchy ? definitions.filter(() => this.chance.happens(0.6)) : definitions;
  }

  #watcher(process: SimulatedProcess): CallWatcher {
    const { watch } = this.#options;
    const scene = { storage: this.storage, history: this.history };
    const own = watch?.(process);
    return {
      begins: (call) => {
        judgeAttempt(call, process, scene);
        own?.begins(call);
      },
      arrives: (call) => own?.arrives(call),
      heard: (call, answer) => own?.heard(call, answer),
    };
  }

  /** Asks a process for a saga, and notes what it answers. */
  start(
    process: SimulatedProcess,
    { name, input, options = {} }: { name: string; input: unknown; options?: StartOptions },
    tx?: StartNote["tx"],
  ): Promise<StartNote> {
    const note: StartNote = { key: options.idempotencyKey, sagaId: undefined, isNew: false, tx };
    if (note.key !== undefined) Object.assign(note, { key: `${name} ${options.tenantId ?? ""} ${note.key}` });
    this.starts.push(note);
    return process.orchestrator.sagas.start(name, input, options).then(
      ({ id, isNew }) => {
        this.history.note(`a client hears that ${short(id)} was started`);
        return Object.assign(note, { sagaId: id, isNew });
      },
      (error: unknown) => {
        this.history.note(`a client hears that a start failed: ${String(error)}`);
        if (!isSagaError(error) || error.code === "SAGAZ_BUG")
          this.history.breach("a start that fails says why", String(error));
        return note;
      },
    );
  }

  /** Lets everything go wrong for this long, while `disturb` does what it likes now and then. */
  async chaos(forMs: number, disturb: () => void): Promise<void> {
    const until = this.clock.monotonic() + forMs;
    this.#addProcesses(1 + this.chance.below(processesMax));
    const everyMs = this.chance.pick([300, 1_000, 3_000] as const);
    while (this.clock.monotonic() < until) {
      if (this.chance.happens(0.5)) this.#strike();
      disturb();
      await this.clock.advance(1 + this.chance.below(everyMs * 2));
    }
  }

  #addProcesses(count: number): void {
    for (let i = 0; i < count; i++) this.addProcess();
  }

  #strike(): void {
    const { chance, processes } = this;
    const [first] = processes;
    if (!first || (processes.length < processesMax && chance.happens(0.3))) {
      this.addProcess();
      return;
    }
    const process = chance.pick([first, ...processes.slice(1)]);
    chance.pick(strikes)(this, process);
  }

  /** The process dies. */
  crash(process: SimulatedProcess): void {
    this.history.saw("crashes");
    process.crash();
  }

  /** All processes die, and for a while only others are there that cannot run everything. */
  async desert(forMs: number): Promise<void> {
    for (const process of this.processes) this.crash(process);
    this.addProcess([]);
    await this.clock.advance(forMs);
  }

  /** The process stands still for a while, perhaps for longer than its lease. */
  halt(process: SimulatedProcess): void {
    if (process.isHalted) return process.goOn();
    this.history.saw("pauses");
    process.halt(this.chance.pick(["frozen", "overslept"] as const));
    this.clock.setTimer(this.chance.pick([200, 2_000, 12_000] as const), () => process.goOn());
  }

  /** The process is told to stop. */
  stop(process: SimulatedProcess): void {
    this.history.saw("stops");
    process.stop();
  }

  /** Nobody reaches the storage for a while. */
  outage(forMs: number = this.chance.pick([100, 1_000, 8_000] as const)): void {
    this.history.saw("outages");
    this.history.note(`the storage is away for ${forMs} ms`);
    this.#downUntil = this.clock.monotonic() + forMs;
  }

  /** The database's clock jumps. */
  turnDatabaseClock(): void {
    const byMs = this.chance.pick([-3_000, -500, 500, 3_000] as const);
    this.history.note(`the database's clock jumps by ${byMs} ms`);
    this.#databaseOffsetMs += byMs;
  }

  /** Ends all faults and lets the processes finish; judges what they leave. */
  async rest(): Promise<void> {
    this.#isCalm = true;
    this.#faults = calm;
    this.#downUntil = 0;
    this.history.note("all faults end");
    for (const process of this.processes) process.goOn();
    await this.#untilQuiet();
  }

  /** Judges by all laws what a simulation at rest has left. */
  judge(): void {
    judgeRest(this);
  }

  async #untilQuiet(): Promise<void> {
    const until = this.clock.monotonic() + restMsMax;
    for (let quietFor = 0; quietFor < quietMs;) {
      if (this.clock.monotonic() >= until)
        return this.history.breach("a simulation comes to rest", this.storage.unrest());
      // One that could not start before the faults ended, gives up only now.
      if (!this.processes.some(({ held }) => held === this.#options.definitions))
        this.addProcess(this.#options.definitions);
      const events = this.history.lines.length;
      await this.clock.advance(restStepMs);
      const isQuiet =
        this.storage.isQuiet() && this.underway.count === 0 && this.history.lines.length === events;
      quietFor = isQuiet ? quietFor + restStepMs : 0;
    }
  }
}

type Strike = (simulation: Simulation, process: SimulatedProcess) => void;
const crash: Strike = (simulation, process) => simulation.crash(process);
const halt: Strike = (simulation, process) => simulation.halt(process);
const strikes: readonly [Strike, ...Strike[]] = [
  crash,
  crash,
  crash,
  halt,
  halt,
  halt,
  (simulation, process) => simulation.stop(process),
  (simulation) => simulation.outage(),
  (simulation) => simulation.outage(),
  (simulation) => simulation.turnDatabaseClock(),
];
