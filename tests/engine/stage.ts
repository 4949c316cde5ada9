import { AsyncLocalStorage } from "node:async_hooks";
import { inject } from "vitest";
import type { Sagaish } from "../../packages/sagaz/src/core/definition/sagaish.ts";
import { SagaError } from "../../packages/sagaz/src/core/errors.ts";
import type { Clock, Timer } from "../../packages/sagaz/src/ports/clock.ts";
import type { Log } from "../../packages/sagaz/src/ports/log.ts";
import type { SagaStorage } from "../../packages/sagaz/src/ports/storage.ts";
import { SagaOrchestrator } from "../../packages/sagaz/src/runtime/orchestrator.ts";
import type { OrchestratorOptions } from "../../packages/sagaz/src/runtime/orchestrator.ts";
import type { SagaResult } from "../../packages/sagaz/src/runtime/saga-result.ts";
import type { SagaHandle, StartOptions, WaitOptions } from "../../packages/sagaz/src/runtime/sagas.ts";
import { InMemoryStorage } from "../../packages/sagaz/src/storage/memory/index.ts";
import { FakeClock } from "../../packages/sagaz/src/testing/fake-clock.ts";
import { SeededChance } from "../../packages/sagaz/src/testing/seeded-chance.ts";
import { openPostgres } from "./postgres-room.ts";
import { openRedis } from "./redis-room.ts";
import type { Room } from "./room.ts";

/**
 * Where the engine's tests run: the real orchestrator on a clock that moves when told. The storage is memory, or, when
 * the test run provides a server (`on-postgres.int.test.ts`, `on-redis.broker.test.ts`), PostgreSQL or Redis: the same
 * tests, the same clock.
 */
const postgresUrl = (inject as (key: "postgresUrl") => string | undefined)("postgresUrl");
const redis = (inject as (key: "redis") => { readonly url?: string } | undefined)("redis");

/** True when the storage takes part in a caller's transaction. */
export const joinsTransactions = redis?.url === undefined;

/** Time does not move while the storage is at work: what is a moment in memory is a moment on a server too. */
class PatientClock extends FakeClock {
  readonly #busy = new Set<Promise<unknown>>();

  track<T>(work: Promise<T>): Promise<T> {
    const done = () => void this.#busy.delete(quiet);
    const quiet: Promise<void> = work.then(done, done);
    this.#busy.add(quiet);
    return work;
  }

  override async settle(): Promise<void> {
    do {
      await Promise.all(this.#busy);
      await super.settle();
    } while (this.#busy.size > 0);
  }
}

/** The process in which the code at hand runs: what a dead one still calls must not be heard. */
const inside = new AsyncLocalStorage<Process>();

/** The process in which the calling step runs. */
export function thisProcess(): Process {
  const process = inside.getStore();
  if (!process) throw new Error("only a step runs in a process of the stage");
  return process;
}

type State = "alive" | "dead" | "frozen" | "cut";

/** One process: its orchestrator, its own clock and its own line to the storage. */
export class Process {
  readonly orchestrator: SagaOrchestrator;
  readonly logged: { level: string; message: string; details: unknown }[] = [];
  readonly #stage: Stage;
  #state: State = "alive";
  #thawed: (() => void)[] = [];

  constructor(stage: Stage, storage: SagaStorage, options: ProcessOptions) {
    const { clockView, ...rest } = options;
    this.#stage = stage;
    this.orchestrator = new SagaOrchestrator({
      storage: this.#line(storage),
      leaseMs: 60_000,
      clock: this.#clock(clockView ?? stage.clock),
      chance: new SeededChance(stage.processes.length + 1),
      log: this.#log(),
      ...rest,
    });
  }

  /** Start, look at and steer sagas, from inside this process. */
  get sagas(): SagaOrchestrator["sagas"] {
    const { sagas } = this.orchestrator;
    return new Proxy(sagas, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return (...args: unknown[]) => inside.run(this, () => Reflect.apply(method, target, args) as unknown);
      },
    });
  }

  start(): Promise<void> {
    return inside.run(this, () => this.orchestrator.start());
  }

  get isDead(): boolean {
    return this.#state === "dead";
  }

  /** As by `kill -9`: nothing it had in mind happens any more, and a {@link Trace} hears nothing of it. */
  kill(): void {
    this.#state = "dead";
  }

  /** Its event loop stands still, as in a long pause of the virtual machine. */
  freeze(): void {
    this.#state = "frozen";
  }

  thaw(): void {
    this.#state = "alive";
    const calls = this.#thawed;
    this.#thawed = [];
    for (const call of calls) call();
  }

  /** Its line to the storage is cut: every call fails before anything is written. */
  cut(): void {
    this.#state = "cut";
  }

  heal(): void {
    this.#state = "alive";
  }

  async stop(): Promise<void> {
    if (this.#state === "dead") return;
    await this.#stage.drive(inside.run(this, () => this.orchestrator.stop()));
  }

  #log(): Log {
    const at = (level: string) => (message: string, details?: unknown) =>
      void this.logged.push({ level, message, details });
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  }

  #clock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      setTimer: (delayMs, call): Timer => {
        let cancelled = false;
        const timer = clock.setTimer(delayMs, () => {
          if (this.#state === "frozen") this.#thawed.push(() => cancelled || inside.run(this, call));
          else if (this.#state !== "dead") inside.run(this, call);
        });
        return {
          cancel: () => {
            cancelled = true;
            timer.cancel();
          },
        };
      },
    };
  }

  /** A line to the storage that this process alone uses, and that dies with it. */
  #line(storage: SagaStorage): SagaStorage {
    const guard = <Store extends object>(store: Store): Store =>
      new Proxy(store, {
        get: (target, name) => {
          const method: unknown = Reflect.get(target, name);
          if (typeof method !== "function") return method;
          return (...args: unknown[]) => this.#call(() => Reflect.apply(method, target, args) as unknown);
        },
      });
    const { journal } = storage;
    return {
      name: storage.name,
      can: storage.can,
      journal: Object.assign(Object.create(guard(journal)) as typeof journal, {
        transaction: this.#transaction(journal),
      }),
      leases: guard(storage.leases),
      mailbox: guard(storage.mailbox),
      queries: guard(storage.queries),
      upkeep: guard(storage.upkeep),
      outbox: guard(storage.outbox),
      inbox: guard(storage.inbox),
      deadLetters: guard(storage.deadLetters),
      flows: guard(storage.flows),
      participants: guard(storage.participants),
      start: () => this.#call(() => storage.start()) as Promise<void>,
      stop: async () => {}, // the room is closed by the stage
      listen: (listener) =>
        storage.listen((hint) => {
          if (this.#state === "alive") inside.run(this, () => listener(hint));
        }),
    };
  }

  #call(call: () => unknown): unknown {
    if (this.#state === "dead") return new Promise(() => {});
    if (this.#state === "cut")
      return Promise.reject(new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "the line is cut" }));
    const answer = call();
    if (!(answer instanceof Promise)) return answer;
    return this.#stage.clock.track(answer).then(
      (value: unknown) => (this.#state === "dead" ? new Promise(() => {}) : value),
      (error: unknown) => (this.#state === "dead" ? new Promise(() => {}) : Promise.reject(error as Error)),
    );
  }

  /** While the user's handler runs time may move: only the parts that are the storage's count as busy. */
  #transaction(journal: SagaStorage["journal"]): SagaStorage["journal"]["transaction"] {
    return (work) => {
      const { clock } = this.#stage;
      let done = () => {};
      const busy = () => void clock.track(new Promise<void>((resolve) => (done = resolve)));
      busy();
      return journal
        .transaction(async (tx, append) => {
          done();
          try {
            return await work(
              (sql, params) => clock.track(tx(sql, params)),
              (batch) => clock.track(append(batch)),
            );
          } finally {
            busy();
          }
        })
        .finally(() => done());
    };
  }
}

type ProcessOptions = Omit<OrchestratorOptions, "storage" | "clock"> & { readonly clockView?: Clock };

/** A storage with processes on it, in one time. */
export class Stage implements AsyncDisposable {
  readonly clock: PatientClock;
  readonly #room: Room;
  readonly processes: Process[] = [];

  private constructor(room: Room, clock: PatientClock) {
    this.#room = room;
    this.clock = clock;
  }

  static async open(): Promise<Stage> {
    const clock = new PatientClock();
    const now = () => clock.now();
    return new Stage(await openRoom(now), clock);
  }

  get storage(): SagaStorage {
    return this.#room.storage;
  }

  get room(): Room {
    return this.#room;
  }

  /** A process that runs these sagas, started. */
  async process(...sagas: readonly Sagaish[]): Promise<Process> {
    return this.processWith({ sagas });
  }

  async processWith(options: ProcessOptions): Promise<Process> {
    const storage = this.processes.length === 0 ? this.#room.storage : await this.#room.another();
    const process = new Process(this, storage, options);
    this.processes.push(process);
    await this.drive(process.start());
    return process;
  }

  /** Lets time pass until the promise settles. */
  async drive<T>(promise: Promise<T>, limitMs = 30 * 86_400_000): Promise<T> {
    let settled = false;
    const done = () => void (settled = true);
    promise.then(done, done);
    await this.clock.runUntil(() => settled, { limitMs });
    return promise;
  }

  async start<Input, Output>(
    process: Process,
    ...[saga, input, options]: [Sagaish<Input, Output> | string, Input, StartOptions?]
  ): Promise<SagaHandle<Output>> {
    return this.drive(process.sagas.start(saga, input, options));
  }

  /** Starts a saga and lets time pass until it has ended or is parked. */
  async run<Input, Output>(
    process: Process,
    ...[saga, input, options]: [Sagaish<Input, Output> | string, Input, StartOptions?]
  ): Promise<SagaResult<Output>> {
    const handle = await this.start(process, saga, input, options);
    return this.drive(handle.result({ orParked: true }));
  }

  /** Lets time pass until a saga has ended or is parked. */
  async end<Output>(handle: SagaHandle<Output>, options: WaitOptions = { orParked: true }) {
    return this.drive(handle.result(options));
  }

  /** The types of a saga's events, steps in brackets. */
  async history(process: Process, sagaId: string): Promise<string[]> {
    const events = await this.drive(process.sagas.events(sagaId));
    return events.map((event) => ("step" in event ? `${event.type}(${event.step})` : event.type));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.processes) await process.stop();
    await this.#room.close();
  }
}

async function openRoom(now: () => number): Promise<Room> {
  if (postgresUrl !== undefined) return openPostgres(postgresUrl, now);
  return redis?.url === undefined ? inMemory(now) : openRedis(redis.url, now);
}

function inMemory(now: () => number): Room {
  const storage = new InMemoryStorage({ clock: { now } });
  return {
    storage,
    another: () => Promise.resolve(storage),
    loseRows: async () => storage.loseRows(),
    begin: async () => storage.begin(),
    sql: () => Promise.reject(new Error("memory understands no SQL")),
    close: async () => {},
  };
}

/** What the steps of a test did, in order. */
export class Trace {
  readonly calls: string[] = [];
  readonly #clock: Clock;

  constructor(stage: Stage) {
    this.#clock = stage.clock;
  }

  /** A function that notes its call and answers with what `body` returns, or with the name. */
  note<Ctx, Result = string>(name: string, body?: (ctx: Ctx) => Result): (ctx: Ctx) => Result {
    return (ctx) => {
      if (inside.getStore()?.isDead) return new Promise(() => {}) as Result;
      this.calls.push(name);
      return body ? body(ctx) : (name as Result);
    };
  }

  /** The same for a compensation: `undo name`. */
  undo<Ctx, Result = string>(name: string, body?: (ctx: Ctx) => Result): (ctx: Ctx) => Result {
    return this.note(`undo ${name}`, body);
  }

  /** An action that takes its time and notes when it has finished; it heeds its signal unless it is deaf. */
  slow(
    name: string,
    options: { ms: number; deaf?: boolean },
  ): (ctx: { readonly signal: AbortSignal }) => Promise<string> {
    return this.note(name, async (ctx) => {
      await this.wait(options.ms, options.deaf ? undefined : ctx.signal);
      this.calls.push(`${name} finished`);
      return name;
    });
  }

  /** Waits on the stage's clock; rejects with the signal's reason when that aborts. For ever in a process that died. */
  wait(ms: number, signal?: AbortSignal): Promise<void> {
    const process = inside.getStore();
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(ms, () => process?.isDead || resolve());
      signal?.addEventListener("abort", () => {
        timer.cancel();
        reject(signal.reason as Error);
      });
    });
  }
}

/** A promise and the means to settle it. */
export function gate<T = void>(): {
  promise: Promise<T>;
  open: (value: T) => void;
  fail: (error: unknown) => void;
} {
  let open!: (value: T) => void;
  let fail!: (error: unknown) => void;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}
