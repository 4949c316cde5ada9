import type { SagaDefinition } from "../core/definition/definition.ts";
import { SagaError } from "../core/errors.ts";
import type { Chance } from "../ports/chance.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { AppendEntry, Beat, ClaimedSaga, Mail, NewMail, SagaStorage } from "../ports/storage.ts";
import { Arrivals, toLoaded } from "./arrivals.ts";
import type { Loaded } from "./arrivals.ts";
import type { ReplyAddresses } from "./command-event.ts";
import { comeToRest } from "./come-to-rest.ts";
import { handBack, signOff } from "./hand-back.ts";
import type { OptimisticPublisher } from "./delivery/optimistic-publisher.ts";
import { DatabaseTime } from "./database-time.ts";
import { Intake } from "./intake.ts";
import { JournalWriter, WRITES_WAITING_MAX } from "./journal-writer.ts";
import type { Written } from "./journal-writer.ts";
import type { NewSaga } from "./entry.ts";
import { Lease } from "./lease.ts";
import { MailRoom } from "./mail-room.ts";
import { Reload } from "./reload.ts";
import { RollCall } from "./roll-call.ts";
import { toStartEntry } from "./recording.ts";
import type { Registry } from "./registry.ts";
import { Room } from "./room.ts";
import type { RoomLimits } from "./room.ts";
import type { RunnerHost, SagaInMemory } from "./runner-host.ts";
import { SagaRunner } from "./saga-runner.ts";
import { Solitary } from "./solitary.ts";
import { newId } from "./system.ts";
import { Upkeep } from "./upkeep.ts";
import { Timers } from "./timers.ts";

/** How a worker behaves. Times in milliseconds. */
export interface WorkerOptions extends RoomLimits {
  /** For people: shows in lists of workers. */
  readonly workerName: string;
  /** A worker that does not renew for this long is taken for dead, and its sagas go to others. */
  readonly leaseMs: number;
  /** `stop()` lets attempts finish for this long before it tells them to stop. */
  readonly stopMs: number;
  readonly payloadBytesMax: number;
  readonly replyTo: ReplyAddresses;
}

/** What a worker is made of. */
export interface WorkerParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  /** Sends events at once that sagas publish; else relays do. */
  readonly publisher: OptimisticPublisher | undefined;
  readonly options: WorkerOptions;
  /** Called when a saga of this worker parked or left it. */
  readonly onChange: (saga: SagaInMemory, why: "parked" | "ended" | "released" | "lost") => void;
}

/** Hints are gathered for this long, so that a burst of them makes one query. */
const HINT_MS = 2;

/**
 * A process that owns and runs sagas: holds one lease, proven by its epoch, for all of them. No worker leads; each
 * one sweeps for the sagas of the dead.
 */
export class Worker implements RunnerHost {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly room: Room;
  readonly #parts: WorkerParts;
  readonly #time: DatabaseTime;
  readonly #timers: Timers;
  readonly #runners = new Map<string, SagaRunner>();
  readonly #lease: Lease;
  readonly #intake: Intake;
  readonly #mailRoom: MailRoom;
  readonly #solitary: Solitary;
  readonly #arrivals: Arrivals;
  readonly #upkeep: Upkeep;
  readonly #reload: Reload;
  readonly #rollCall: RollCall;
  /** Sagas that are being started with a key: ours before they are in memory. */
  readonly expected = new Set<string>();
  #writer: JournalWriter | undefined;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #isHinted = false;
  #unlisten: (() => void) | undefined;

  constructor(parts: WorkerParts) {
    const { storage, clock, log, registry, options } = parts;
    this.storage = storage;
    this.clock = clock;
    this.log = log;
    this.#parts = parts;
    this.#time = new DatabaseTime(clock);
    this.#timers = new Timers(clock);
    this.#lease = this.#makeLease();
    const taking: RollCall["taking"] = (claim) => this.#rollCall.taking(claim);
    const around = { storage, clock, log, epoch: () => this.epoch(), isWanted: () => this.isRunning, taking };
    this.#rollCall = new RollCall({
      ...around,
      known: () => this.#known(),
      onForgotten: (sagas, epoch) => sagas.forEach((saga) => this.#reload.takeUp(saga, epoch)),
    });
    this.room = new Room(options, registry, () => this.isRunning && this.#intake.look());
    this.#intake = new Intake({
      ...around,
      wanted: () => (this.isOpen ? this.room.wanted() : { limit: 0, definitions: [] }),
      beatMs: options.leaseMs / 3,
      onClaimed: (sagas, epoch) => this.#take(sagas, epoch),
    });
    this.#mailRoom = new MailRoom({
      ...around,
      isRunning: () => this.#state === "running" || this.#state === "stopping",
      runners: this.#runners,
    });
    this.#solitary = new Solitary({
      runners: this.#runners,
      timers: this.#timers,
      written: async () => this.#writer?.drained(),
      mayRun: () => this.isRunning && !this.#lease.isSuspended,
      onOver: () => this.#intake.look(),
    });
    this.#arrivals = new Arrivals({
      registry,
      log,
      solitary: this.#solitary,
      now: () => this.now(),
      run: (definition, loaded) => this.#run(definition, loaded),
      submit: (entry, written) => this.submit(entry, written),
      onGivenUp: (sagaId) => this.#reload.settled(sagaId),
    });
    this.#reload = new Reload({
      ...around,
      isHere: (sagaId) => this.#runners.has(sagaId),
      onLoaded: (saga, epoch) => this.#take([saga], epoch),
      onHopeless: (saga, detail) => this.#arrivals.park(saga, { reason: "stuck", detail }),
    });
    this.#upkeep = new Upkeep({
      ...around,
      timers: this.#timers,
      jitterMs: () => (options.leaseMs / 10) * this.luck(),
      onReleased: () => this.#intake.look(),
      onOrphans: (sagas, epoch) => this.#take(sagas, epoch),
    });
  }

  #makeLease(): Lease {
    const { storage, clock, log, registry, options } = this.#parts;
    const { workerName, leaseMs } = options;
    return new Lease({
      storage,
      clock,
      log,
      time: this.#time,
      workerName,
      leaseMs,
      definitions: () => registry.held(),
      onRegistered: (epoch) => this.#openWriter(epoch),
      onBeat: (beat) => this.#onBeat(beat),
      onSuspended: () => this.#suspend(),
      onResumed: () => this.#resumeAll(),
      onFenced: (epoch) => this.#dropAll(epoch),
    });
  }

  get payloadBytesMax(): number {
    return this.#parts.options.payloadBytesMax;
  }
  get replyTo(): ReplyAddresses {
    return this.#parts.options.replyTo;
  }
  get sagasInFlight(): number {
    return this.#runners.size;
  }
  /** True from start() to stop(). */
  get isRunning(): boolean {
    return this.#state === "running";
  }

  now(): number {
    return this.#time.now();
  }
  luck(): number {
    return this.#parts.chance.next();
  }
  newId(): string {
    return newId(this.now(), this.#parts.chance);
  }
  epoch(): number {
    return this.#lease.epoch;
  }

  /** Registers and begins to beat, claim and sweep. */
  async start(): Promise<void> {
    if (this.#state !== "new") return;
    await this.#lease.start();
    this.#state = "running";
    this.#unlisten = this.storage.listen((hint) => {
      if (hint === "work" || hint === "mail") this.poke();
    });
    this.#intake.look();
  }

  #openWriter(epoch: number): void {
    const { storage, clock, log, publisher } = this.#parts;
    const held = {
      held: () => this.#held(),
      lost: (sagaId: string) => {
        this.#runners.get(sagaId)?.lose();
        this.#reload.afterLoss(sagaId);
      },
      fenced: () => this.#lease.fenced(epoch),
    };
    this.#writer = new JournalWriter({ storage, clock, log, epoch, held, publisher });
  }

  #known(): readonly string[] {
    return [this.#runners.keys(), this.expected, this.#arrivals.leaving, this.#reload.loading].flatMap(
      (ids) => [...ids],
    );
  }

  *#held(): Iterable<{ sagaId: string; ackedSeq: number }> {
    for (const { sagaId, live } of this.#runners.values()) yield { sagaId, ackedSeq: live.ackedSeq };
  }

  submit(entry: AppendEntry, written: Written): void {
    if (this.#writer) this.#writer.submit(entry, written);
    else written(new SagaError("SAGAZ_NOT_STARTED", { what: "worker" }));
  }

  // Starting sagas.

  /** True while new sagas may come into this process, as far as there is room; else they are left to others. */
  get isOpen(): boolean {
    return this.isRunning && !this.#lease.isSuspended && !this.#solitary.isOn;
  }

  /** @throws SagaError `SAGAZ_NOT_STARTED`, `SAGAZ_STOPPED`, `SAGAZ_TOO_BUSY` when no start can be taken now. */
  checkStart(waitingElsewhere = 0): void {
    if (this.#state === "new") throw new SagaError("SAGAZ_NOT_STARTED", { what: "orchestrator" });
    if (this.#state !== "running") throw new SagaError("SAGAZ_STOPPED", { what: "orchestrator" });
    const waiting = waitingElsewhere + (this.#writer?.waiting ?? 0);
    if (waiting > WRITES_WAITING_MAX)
      throw new SagaError("SAGAZ_TOO_BUSY", { waiting, limit: WRITES_WAITING_MAX });
  }

  /** Records the start of a saga, and runs it here when it is admitted. */
  begin(saga: NewSaga, written: Written): void {
    const { definition, row: start } = saga;
    if (start.owned)
      this.#run(definition, toLoaded(saga, { ackedSeq: 0, at: this.now() })).begin(start, written);
    else this.submit(toStartEntry(start), written);
  }

  /** Runs a saga that was started with a key, and is on record as this epoch's. */
  takeStarted(saga: NewSaga, epoch: number): void {
    if (!this.#isOurs(epoch) || this.#runners.has(saga.row.sagaId)) return;
    this.#run(saga.definition, toLoaded(saga, { ackedSeq: 1, at: this.now() })).turn();
  }

  /** What came to an epoch that is over, fenced or handed back, is somebody else's by now. */
  #isOurs(epoch: number): boolean {
    return epoch === this.epoch() && this.#state !== "stopped";
  }

  #run(definition: SagaDefinition, { state, ackedSeq, mail }: Loaded): SagaRunner {
    const runner = new SagaRunner({ host: this, definition, state, ackedSeq, mail });
    this.#runners.set(state.sagaId, runner);
    this.#rollCall.came(state.sagaId);
    this.room.enter(state.sagaId, state.started);
    if (!this.isOpen) runner.drain();
    return runner;
  }

  /** Looks for a saga that was started in somebody's transaction, until it is here, or it is not worth looking. */
  hunt(sagaId: string): void {
    this.#intake.hunt(sagaId, () => this.#runners.has(sagaId));
  }

  // Runners.

  /** The runner of a saga that is in this process's memory. */
  find(sagaId: string): SagaRunner | undefined {
    return this.#runners.get(sagaId);
  }

  gone(saga: SagaInMemory, why: "ended" | "released" | "lost"): void {
    const isHere = this.#runners.get(saga.sagaId) === saga;
    if (isHere) this.#runners.delete(saga.sagaId);
    if (why !== "lost") this.#reload.settled(saga.sagaId);
    this.#solitary.left(saga);
    this.#parts.onChange(saga, why);
    if (isHere) this.room.leave(saga.sagaId);
  }

  changed(saga: SagaInMemory): void {
    this.#parts.onChange(saga, "parked");
  }

  refuse(mail: Mail, error: SagaError): Promise<boolean> {
    return this.#mailRoom.refuse(mail, error);
  }

  send(mail: NewMail): void {
    this.#mailRoom.send(mail);
  }

  // The lease.

  #onBeat(beat: Beat): void {
    if (beat.work) this.#intake.glance();
    if (beat.mail) void this.#mailRoom.fetch();
    this.#upkeep.onBeat(beat);
    this.#rollCall.onBeat();
  }

  #suspend(): void {
    for (const runner of this.#runners.values()) {
      runner.drain();
      runner.abortAll();
    }
  }

  #resumeAll(): void {
    if (this.#state !== "running") return;
    for (const runner of this.#runners.values()) if (!this.#solitary.excludes(runner)) runner.undrain();
    this.#intake.look();
  }

  #dropAll(epoch: number): void {
    this.#writer?.close(new SagaError("SAGAZ_FENCED", { epoch }));
    for (const runner of this.#runners.values()) runner.lose();
    this.#reload.allLost();
  }

  // Claimed work.

  #take(claimed: readonly ClaimedSaga[], epoch: number): void {
    if (!this.#isOurs(epoch) || claimed.length === 0) return;
    for (const saga of claimed) this.#arrivals.take(saga);
    void this.#mailRoom.fetch();
  }

  notWritten(saga: { readonly sagaId: string; readonly ackedSeq: number }, error: SagaError): void {
    this.#reload.afterRefusal(saga, error);
  }

  /** A start that was refused may be on record after all: then it is ours to run. */
  seek(sagaId: string): void {
    this.#reload.begin(sagaId);
  }

  /** Something was sent, or stored, that this process should look at soon. */
  poke(): void {
    if (this.#isHinted) return;
    this.#isHinted = true;
    this.#timers.later(HINT_MS, () => {
      this.#isHinted = false;
      this.#intake.look();
      void this.#mailRoom.fetch();
    });
  }

  // The end.

  /**
   * Stops: begins nothing new, lets attempts finish for `stopMs`, then tells them to stop; hands back at once every
   * saga whose attempts have settled. One whose attempt will not settle stays ours until the lease runs out, because
   * nobody else may begin it before.
   */
  async stop(): Promise<void> {
    if (this.#state !== "running") {
      this.#state = "stopped";
      await this.#lease.stop();
      return;
    }
    this.#state = "stopping";
    this.#unlisten?.();
    this.#intake.stop();
    await comeToRest(this.#runners, { clock: this.clock, patienceMs: this.#parts.options.stopMs });
    const isDone = await handBack(this.#runners, {
      writer: this.#writer,
      timers: this.#timers,
      patienceMs: this.#parts.options.leaseMs,
    });
    await this.#lease.stop();
    // What is left to us now is let go as after a crash: with attempts in doubt.
    if (isDone && this.#reload.isClear) await signOff(this, this.epoch());
    this.#state = "stopped";
    this.#timers.stop();
  }
}
