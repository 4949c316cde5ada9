import { fold } from "../core/saga/evolve.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { must } from "../core/must.ts";
import type { SagaState } from "../core/saga/state.ts";
import { fromText } from "./payload.ts";
import type { JournalEntry, ParkReason, SagaStarted } from "../core/saga/events.ts";
import { LIMITS } from "../core/definition/policies.ts";
import { isSagaError, SagaError } from "../core/errors.ts";
import { isEnded } from "../core/saga/status.ts";
import type { Chance } from "../ports/chance.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type {
  AppendEntry,
  Beat,
  ClaimedSaga,
  Mail,
  NewMail,
  SagaStorage,
  StartRow,
} from "../ports/storage.ts";
import { DatabaseTime } from "./database-time.ts";
import { fromStored, toEventRow, toRowChange } from "./entry.ts";
import { JournalWriter, WRITES_WAITING_MAX } from "./journal-writer.ts";
import type { Written } from "./journal-writer.ts";
import type { Registry } from "./registry.ts";
import { SagaRunner } from "./saga-runner.ts";
import type { MailState, RunnerHost } from "./saga-runner.ts";
import { newId } from "./system.ts";

/** How a worker behaves. Times in milliseconds. */
export interface WorkerOptions {
  /** For people: shows in lists of workers. */
  readonly workerName: string;
  /** A worker that does not renew for this long is taken for dead, and its sagas go to others. */
  readonly leaseMs: number;
  /** Sagas in memory. More wait in the storage, for any worker. 0: this process only starts sagas. */
  readonly sagasInFlightMax: number;
  /** `stop()` lets attempts finish for this long before it tells them to stop. */
  readonly stopMs: number;
  readonly payloadBytesMax: number;
}

/** What a worker is made of. */
export interface WorkerParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  readonly options: WorkerOptions;
  /** Called when a saga of this worker parked or left it. */
  readonly onChange: (runner: SagaRunner, why: "parked" | "ended" | "released" | "lost") => void;
}

/** A saga as it comes into memory. */
interface Loaded {
  readonly state: SagaState;
  readonly ackedSeq: number;
  readonly mail: MailState;
}

/** A saga that this process has just started: nobody has written to it yet. */
const NO_MAIL: MailState = { seq: 0, fetched: true };

/** Sagas claimed in one round trip, mail fetched in one. */
const CLAIM_MAX = 200;
const MAIL_MAX = 500;
/** After work was found the next look comes this soon; without any it backs off to the heartbeat. */
const POLL_MS = { first: 20, factor: 2 };
/** Hints are gathered for this long, so that a burst of them makes one query. */
const HINT_MS = 2;
/** A definition that no live worker holds for this long parks its sagas. */
export const DEFINITION_MISSING_MS = 300_000;
const UPKEEP_EVERY_MS = 3_600_000;
/** A saga whose workers keep dying is looked at again after this long when another such saga is being tried. */
const ALONE_RETRY_MS = 2_000;

/**
 * A process that owns and runs sagas: holds one lease, proven by its epoch, for all of them. No worker leads; each
 * one sweeps for the sagas of the dead.
 */
export class Worker implements RunnerHost {
  readonly #parts: WorkerParts;
  readonly #time: DatabaseTime;
  readonly #runners = new Map<string, SagaRunner>();
  readonly #timers = new Set<Timer>();
  #writer: JournalWriter | undefined;
  #epoch = 0;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  /** Monotonic time of the last heartbeat that was answered, by when it was sent. */
  #renewedAt = 0;
  #suspended = false;
  #claiming = false;
  #claimAgain = false;
  #fetching = false;
  #fetchAgain = false;
  #refencing: Promise<void> | undefined;
  #pollMs = 0;
  #hinted = false;
  #maintainedAt: number;
  /** A saga that is run alone because its workers keep dying; all others pause meanwhile. */
  #alone: SagaRunner | undefined;
  #unlisten: (() => void) | undefined;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#time = new DatabaseTime(parts.clock);
    this.#maintainedAt = parts.clock.monotonic();
  }

  get storage(): SagaStorage {
    return this.#parts.storage;
  }
  get clock(): Clock {
    return this.#parts.clock;
  }
  get log(): Log {
    return this.#parts.log;
  }
  get payloadBytesMax(): number {
    return this.#parts.options.payloadBytesMax;
  }
  /** Sagas in this process's memory. */
  get sagasInFlight(): number {
    return this.#runners.size;
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
    return this.#epoch;
  }

  /** Registers and begins to beat, claim and sweep. */
  async start(): Promise<void> {
    if (this.#state !== "new") return;
    this.#state = "running";
    await this.#register();
    this.#unlisten = this.storage.listen((hint) => {
      if (hint !== "ended") this.#hint();
    });
    this.#beatLater();
    this.#claimSoon();
  }

  async #register(): Promise<void> {
    const { registry, options } = this.#parts;
    const askedAt = this.clock.monotonic();
    const { epoch, now } = await this.storage.leases.register({
      workerName: options.workerName,
      leaseMs: options.leaseMs,
      definitions: registry.held(),
    });
    this.#time.set(now, askedAt);
    this.#renewedAt = askedAt;
    this.#suspended = false;
    this.#epoch = epoch;
    this.#writer = new JournalWriter({
      storage: this.storage,
      clock: this.clock,
      log: this.log,
      epoch,
      held: {
        held: () => this.#held(),
        lost: (sagaId) => this.#reload(sagaId),
        fenced: () => this.#onFenced(epoch),
      },
    });
  }

  *#held(): Iterable<{ sagaId: string; ackedSeq: number }> {
    for (const { sagaId, live } of this.#runners.values()) yield { sagaId, ackedSeq: live.ackedSeq };
  }

  /** True from start() to stop(). */
  get isRunning(): boolean {
    return this.#state === "running";
  }

  /** True when a new saga fits into this process; else it is left to whoever has room. */
  hasRoom(): boolean {
    return (
      this.#state === "running" &&
      !this.#suspended &&
      !this.#alone &&
      this.#runners.size < this.#parts.options.sagasInFlightMax
    );
  }

  /** @throws SagaError `SAGAZ_NOT_STARTED`, `SAGAZ_STOPPED`, `SAGAZ_TOO_BUSY` when no start can be taken now. */
  checkStart(): void {
    if (this.#state === "new") throw new SagaError("SAGAZ_NOT_STARTED", { what: "orchestrator" });
    if (this.#state !== "running") throw new SagaError("SAGAZ_STOPPED", { what: "orchestrator" });
    const waiting = this.#writer?.waiting ?? 0;
    if (waiting > WRITES_WAITING_MAX)
      throw new SagaError("SAGAZ_TOO_BUSY", { waiting, limit: WRITES_WAITING_MAX });
  }

  submit(entry: AppendEntry, written: Written): void {
    if (this.#writer) this.#writer.submit(entry, written);
    else written(new SagaError("SAGAZ_NOT_STARTED", { what: "worker" }));
  }

  /** Records the start of a saga, and runs it here when it is admitted. */
  begin(start: StartRow, definition: SagaDefinition, written: Written): void {
    const { sagaId } = start;
    if (start.owned) this.#run(definition, this.#fresh(start, 0)).begin(start, written);
    else this.submit({ ...bare(sagaId), events: [start.started], start }, written);
  }

  /** Runs a saga that was started with a key, and is on record as ours. */
  takeStarted(start: StartRow, definition: SagaDefinition): void {
    if (!this.#runners.has(start.sagaId)) this.#run(definition, this.#fresh(start, 1)).turn();
  }

  #fresh({ sagaId, started }: StartRow, ackedSeq: number): Loaded {
    const event: JournalEntry = {
      type: "saga_started",
      data: fromText(started.data) as SagaStarted,
      seq: 1,
      at: this.now(),
    };
    return { state: fold(sagaId, [event]), ackedSeq, mail: NO_MAIL };
  }

  #run(definition: SagaDefinition, { state, ackedSeq, mail }: Loaded): SagaRunner {
    const runner = new SagaRunner({ host: this, definition, state, ackedSeq, mail });
    this.#runners.set(state.sagaId, runner);
    return runner;
  }

  /** The runner of a saga that is in this process's memory. */
  find(sagaId: string): SagaRunner | undefined {
    return this.#runners.get(sagaId);
  }

  gone(runner: SagaRunner, why: "ended" | "released" | "lost"): void {
    if (this.#runners.get(runner.sagaId) === runner) this.#runners.delete(runner.sagaId);
    if (this.#alone === runner) this.#endAlone();
    this.#parts.onChange(runner, why);
    if (this.#pollMs > 0 && this.#runners.size === this.#parts.options.sagasInFlightMax - 1)
      this.#claimSoon();
  }

  changed(runner: SagaRunner): void {
    this.#parts.onChange(runner, "parked");
  }

  refuse(mail: Mail, error: SagaError): void {
    const { mailId, sagaId } = mail;
    const refusal = { mailId, sagaId, code: error.code, details: JSON.stringify(error.details) };
    this.#quietly("a refusal was not stored; the request stays unread", () =>
      this.storage.mailbox.refuse(this.#epoch, [refusal]),
    );
  }

  send(mail: NewMail): void {
    void this.#keepTrying("mail", () => this.storage.mailbox.send(mail));
  }

  /** Mail that must not get lost with a short outage; its saga may be gone, then there is nobody to tell. */
  async #keepTrying(what: string, call: () => Promise<unknown>): Promise<void> {
    for (let delayMs = 100; this.#state !== "stopped"; delayMs = Math.min(delayMs * 2, 5_000)) {
      try {
        await call();
        return;
      } catch (error) {
        this.log.warn(`sagaz: ${what} could not be stored`, { error: String(error) });
        if (isSagaError(error) && !error.retryable) return;
      }
      await new Promise<void>((resolve) => this.#later(delayMs, resolve));
    }
  }

  #quietly(what: string, call: () => Promise<unknown>): void {
    call().catch((error: unknown) => this.log.warn(`sagaz: ${what}`, { error: String(error) }));
  }

  #later(delayMs: number, call: () => void): Timer {
    const timer = this.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      call();
    });
    this.#timers.add(timer);
    return timer;
  }

  // The lease.

  #beatLater(): void {
    const { leaseMs } = this.#parts.options;
    this.#later(leaseMs / 3, () => void this.#beat());
  }

  async #beat(): Promise<void> {
    if (this.#state === "stopped") return;
    const askedAt = this.clock.monotonic();
    const watch = this.#later((this.#parts.options.leaseMs * 2) / 3 - (askedAt - this.#renewedAt), () =>
      this.#suspend(),
    );
    try {
      const beat = await this.storage.leases.beat(this.#epoch);
      this.#time.set(beat.now, askedAt);
      watch.cancel();
      this.#timers.delete(watch);
      if (beat.alive) this.#renewed(askedAt, beat);
      else this.#onFenced(this.#epoch);
    } catch (error) {
      this.log.warn("sagaz: the heartbeat was not answered", { error: String(error) });
    }
    this.#beatLater();
  }

  #renewed(askedAt: number, beat: Beat): void {
    this.#renewedAt = askedAt;
    if (this.#suspended) this.#unsuspend();
    if (beat.work) this.#claimSoon();
    if (beat.mail) void this.#fetchMail();
    if (beat.upkeep) this.#sweepSoon();
    if (this.clock.monotonic() - this.#maintainedAt > UPKEEP_EVERY_MS) this.#maintain();
  }

  /** Two thirds of the lease without an answer: others may soon take over, so nothing begins and attempts stop. */
  #suspend(): void {
    if (this.#suspended || this.#state === "stopped") return;
    if (this.clock.monotonic() - this.#renewedAt < (this.#parts.options.leaseMs * 2) / 3) return;
    this.#suspended = true;
    this.log.warn("sagaz: the lease could not be renewed in time; this worker pauses", {
      epoch: this.#epoch,
    });
    for (const runner of this.#runners.values()) {
      runner.drain();
      runner.abortAll();
    }
  }

  #unsuspend(): void {
    this.#suspended = false;
    if (this.#state !== "running") return;
    for (const runner of [...this.#runners.values()])
      if (!this.#alone || runner === this.#alone) runner.undrain();
  }

  /** Others own our sagas now. Everything in memory is dropped, and the worker comes back under a new epoch. */
  #onFenced(epoch: number): void {
    if (epoch !== this.#epoch || this.#refencing || this.#state === "stopped") return;
    this.log.warn("sagaz: this worker was fenced; its sagas go on elsewhere", { epoch });
    this.#writer?.close(new SagaError("SAGAZ_FENCED", { epoch }));
    for (const runner of [...this.#runners.values()]) runner.lose();
    this.#runners.clear();
    if (this.#state !== "running") return;
    this.#refencing = this.#comeBack().finally(() => {
      this.#refencing = undefined;
    });
  }

  async #comeBack(): Promise<void> {
    await this.#keepTrying("a registration", () => this.#register());
    this.#claimSoon();
  }

  // Work.

  #hint(): void {
    if (this.#hinted) return;
    this.#hinted = true;
    this.#later(HINT_MS, () => {
      this.#hinted = false;
      this.#claimSoon();
      void this.#fetchMail();
    });
  }

  #claimSoon(): void {
    this.#pollMs = POLL_MS.first;
    void this.#claim();
  }

  async #claim(): Promise<void> {
    if (this.#claiming) {
      this.#claimAgain = true;
      return;
    }
    this.#claiming = true;
    try {
      do this.#claimAgain = false;
      while ((await this.#claimOnce()) || this.#claimAgain);
    } catch (error) {
      this.log.warn("sagaz: claiming work failed", { error: String(error) });
    } finally {
      this.#claiming = false;
    }
  }

  /** Answers whether there may be more to claim at once. */
  async #claimOnce(): Promise<boolean> {
    if (!this.hasRoom()) return false;
    const room = this.#parts.options.sagasInFlightMax - this.#runners.size;
    const limit = Math.min(room, CLAIM_MAX);
    const epoch = this.#epoch;
    const claimed = await this.storage.leases.claim({ epoch, limit, definitions: this.#definitions() });
    this.#take(claimed, epoch);
    if (claimed.length > 0) this.#pollMs = POLL_MS.first;
    else this.#pollAgain();
    return claimed.length === limit;
  }

  /** Work often follows work: look again soon, then less and less often, until the heartbeat does it anyway. */
  #pollAgain(): void {
    const delayMs = this.#pollMs;
    if (delayMs === 0 || delayMs >= this.#parts.options.leaseMs / 3) {
      this.#pollMs = 0;
      return;
    }
    this.#pollMs = delayMs * POLL_MS.factor;
    this.#later(delayMs, () => void this.#claim());
  }

  #definitions(): { sagaName: string; version: number }[] {
    return [...this.#parts.registry].map(({ name, version }) => ({ sagaName: name, version }));
  }

  /** Claims one saga by its id, if it can be claimed. Answers whether it is here now. */
  async claimOne(sagaId: string): Promise<boolean> {
    if (!this.hasRoom()) return false;
    const epoch = this.#epoch;
    this.#take(
      await this.storage.leases.claim({ epoch, limit: 1, definitions: this.#definitions(), sagaId }),
      epoch,
    );
    return this.#runners.has(sagaId);
  }

  /** Looks for a saga that was started in somebody's transaction, until it is here, or it is not worth looking. */
  hunt(sagaId: string, delays: { first: number; most: number; forMs: number }): void {
    const until = this.clock.monotonic() + delays.forMs;
    const look = (delayMs: number): void => {
      this.#later(delayMs, () => {
        const again = () =>
          this.isRunning && this.clock.monotonic() < until && look(Math.min(delayMs * 2, delays.most));
        this.claimOne(sagaId).then((found) => found || again(), again);
      });
    };
    look(delays.first);
  }

  #take(claimed: readonly ClaimedSaga[], epoch: number): void {
    // Claimed under an epoch that was fenced meanwhile: they are not ours any more.
    if (epoch !== this.#epoch) return;
    for (const saga of claimed) {
      if (saga.adoptions >= LIMITS.adoptionsMax)
        this.#park(saga, { reason: "crash_loop", detail: `${saga.adoptions} workers died with it` });
      else if (saga.adoptions >= LIMITS.adoptionsBeforeAlone) this.#takeAlone(saga);
      else this.#resume(saga);
    }
    if (claimed.length > 0) void this.#fetchMail();
  }

  #resume(saga: ClaimedSaga): SagaRunner | undefined {
    const { sagaId, journal, mailSeq } = saga;
    try {
      const state = fold(sagaId, journal.map(fromStored));
      const definition = this.#parts.registry.find(state.started.name, state.started.version);
      must(definition, "a worker claims only what it holds");
      const runner = this.#run(definition, {
        state,
        ackedSeq: journal.length,
        mail: { seq: mailSeq, fetched: false },
      });
      if (this.#suspended || this.#alone) runner.drain();
      runner.resume({ crashed: saga.adoptions > 0 });
      return runner;
    } catch (error) {
      this.#runners.delete(sagaId);
      this.#park(saga, { reason: "stuck", detail: String(error) });
      return undefined;
    }
  }

  /** Its workers keep dying: it runs while nothing else does, so that if it is the cause, it alone is blamed. */
  #takeAlone(saga: ClaimedSaga): void {
    if (this.#alone) return this.#giveBack(saga);
    for (const runner of this.#runners.values()) runner.drain();
    const runner = this.#resume(saga);
    if (!runner) return;
    runner.drain();
    this.#alone = runner;
    this.#aloneWhenQuiet(runner);
  }

  #aloneWhenQuiet(runner: SagaRunner): void {
    if (this.#alone !== runner || runner.isGone) return;
    const busy = [...this.#runners.values()].some((other) => other !== runner && other.inFlight > 0);
    if (busy) {
      this.#later(POLL_MS.first, () => this.#aloneWhenQuiet(runner));
      return;
    }
    const before = runner.live.ackedSeq;
    runner.undrain();
    this.#watchAlone(runner, before);
  }

  /** Progress on record acquits it: then the others go on too. */
  #watchAlone(runner: SagaRunner, before: number): void {
    if (this.#alone !== runner) return;
    if (runner.live.ackedSeq > before || runner.isQuiet) return this.#endAlone();
    this.#later(POLL_MS.first, () => this.#watchAlone(runner, before));
  }

  #endAlone(): void {
    this.#alone = undefined;
    if (this.#suspended || this.#state !== "running") return;
    for (const runner of [...this.#runners.values()]) runner.undrain();
    this.#claimSoon();
  }

  #giveBack(saga: ClaimedSaga): void {
    const wakeAt = this.now() + ALONE_RETRY_MS;
    const row = toRowChange(fold(saga.sagaId, saga.journal.map(fromStored)), {
      waitingFor: "retry",
      release: { wakeAt, mailSeq: saga.mailSeq },
    });
    this.submit({ ...bare(saga.sagaId), firstSeq: saga.journal.length + 1, row }, () => {});
  }

  /** Parks a saga without running it. */
  #park(saga: ClaimedSaga, { reason, detail }: { reason: ParkReason; detail: string }): void {
    const seq = saga.journal.length + 1;
    const entry: JournalEntry = { type: "saga_parked", data: { reason, detail }, seq, at: this.now() };
    const row = {
      ...this.#rowOf(saga, entry),
      release: { wakeAt: null, mailSeq: saga.mailSeq },
      waitingFor: "operator" as const,
    };
    this.log.error("sagaz: a saga was parked", { sagaId: saga.sagaId, reason, detail });
    this.submit({ ...bare(saga.sagaId), firstSeq: seq, events: [toEventRow(entry)], row }, () => {});
  }

  #rowOf(
    saga: ClaimedSaga,
    entry: JournalEntry,
  ): Omit<ReturnType<typeof toRowChange>, "release" | "waitingFor"> {
    const fixed = { waitingFor: null, release: undefined };
    try {
      return toRowChange(fold(saga.sagaId, [...saga.journal.map(fromStored), entry]), fixed);
    } catch (error) {
      return {
        status: "parked",
        parkedReason: "stuck",
        paused: false,
        error: String(error),
        output: null,
        finished: false,
      };
    }
  }

  /** Its tail was lost, or is not what we thought: forget it and begin from what is stored. */
  #reload(sagaId: string): void {
    this.#runners.get(sagaId)?.lose();
    const epoch = this.#epoch;
    void this.#keepTrying("a reload", async () => {
      const journal = await this.storage.queries.journal(sagaId);
      const row = await this.storage.queries.find(sagaId);
      if (row?.owner !== epoch || this.#epoch !== epoch || this.#runners.has(sagaId) || isEnded(row.status))
        return;
      this.#take([{ sagaId, adoptions: Math.max(1, row.adoptions), mailSeq: 0, journal }], epoch);
    });
  }

  async #fetchMail(): Promise<void> {
    if (this.#fetching) {
      this.#fetchAgain = true;
      return;
    }
    this.#fetching = true;
    try {
      do {
        this.#fetchAgain = false;
        const present = [...this.#runners.values()];
        const mails = await this.storage.mailbox.fetch(this.#epoch, MAIL_MAX);
        for (const mail of mails) this.#runners.get(mail.sagaId)?.deliver(mail);
        if (mails.length < MAIL_MAX) for (const runner of present) runner.mailFetched();
        else await this.#writer?.drained();
        this.#fetchAgain ||= mails.length === MAIL_MAX;
      } while (this.#fetchAgain && this.#state === "running");
    } catch (error) {
      this.log.warn("sagaz: fetching mail failed", { error: String(error) });
    } finally {
      this.#fetching = false;
    }
  }

  /** Mail may be near: somebody in this process has just sent some. */
  poke(): void {
    this.#hint();
  }

  #sweepSoon(): void {
    const jitterMs = (this.#parts.options.leaseMs / 10) * this.#parts.chance.next();
    this.#later(jitterMs, () => void this.#sweep());
  }

  /** Lets go of the sagas of dead workers, and parks those that nobody here can run. */
  async #sweep(): Promise<void> {
    if (this.#state !== "running") return;
    try {
      const released = await this.storage.leases.fenceExpired();
      if (released > 0) this.log.info("sagaz: took over from a dead worker", { sagas: released });
      if (released > 0) this.#claimSoon();
      const orphans = { epoch: this.#epoch, missingMs: DEFINITION_MISSING_MS, limit: CLAIM_MAX };
      for (const saga of await this.storage.upkeep.claimOrphans(orphans)) {
        this.#park(saga, { reason: "definition_missing", detail: "no live worker holds its definition" });
      }
    } catch (error) {
      this.log.warn("sagaz: the sweep failed; the next one will do", { error: String(error) });
    }
  }

  #maintain(): void {
    this.#maintainedAt = this.clock.monotonic();
    this.#quietly("maintenance failed; the next one will do", () => this.storage.upkeep.maintain());
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
      return;
    }
    this.#state = "stopping";
    this.#unlisten?.();
    await this.#refencing;
    for (const runner of this.#runners.values()) runner.drain();
    const { stopMs } = this.#parts.options;
    if (!(await this.#settle(stopMs))) {
      for (const runner of this.#runners.values()) runner.abortAll();
      await this.#settle(
        Math.max(0, ...[...this.#runners.values()].map(({ definition }) => definition.settleMs)),
      );
    }
    await this.#handBack();
    this.#state = "stopped";
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Waits until no attempt is in flight, for at most this long; releases each saga as it becomes quiet. */
  async #settle(limitMs: number): Promise<boolean> {
    const until = this.clock.monotonic() + limitMs;
    for (;;) {
      for (const runner of [...this.#runners.values()]) runner.release();
      if ([...this.#runners.values()].every(({ inFlight }) => inFlight === 0)) return true;
      if (this.clock.monotonic() >= until) return false;
      await new Promise<void>((resolve) => this.clock.setTimer(5, resolve));
    }
  }

  async #handBack(): Promise<void> {
    for (const runner of [...this.#runners.values()]) runner.release();
    const outage = new Promise<"late">((resolve) =>
      this.#later(this.#parts.options.leaseMs, () => resolve("late")),
    );
    const drained = await Promise.race([this.#writer?.drained(), outage]);
    this.#writer?.close(new SagaError("SAGAZ_STOPPED", { what: "worker" }));
    const left = [...this.#runners.values()].some(({ inFlight }) => inFlight > 0);
    for (const runner of [...this.#runners.values()]) runner.lose();
    if (drained === "late" || left) return;
    try {
      await this.storage.leases.retire(this.#epoch);
    } catch (error) {
      this.log.warn("sagaz: signing off failed; the lease will run out", { error: String(error) });
    }
  }
}

function bare(sagaId: string): AppendEntry {
  return {
    sagaId,
    firstSeq: 1,
    events: [],
    start: undefined,
    row: undefined,
    spawns: [],
    mails: [],
    readMails: [],
  };
}
