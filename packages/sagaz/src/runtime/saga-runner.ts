import { adopt } from "../core/decide/adopt.ts";
import { next } from "../core/decide/next.ts";
import type { Outcome } from "../core/decide/outcome.ts";
import { toRecordedError } from "../core/decide/outcome.ts";
import { answer } from "../core/decide/requests.ts";
import type { SagaRequest } from "../core/decide/requests.ts";
import { settle, settleLate } from "../core/decide/settle.ts";
import { newLive, taskId } from "../core/decide/view.ts";
import type { Live, LiveTask, Move, Task, View } from "../core/decide/view.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { LIMITS } from "../core/definition/policies.ts";
import { isSagaError, SagaError } from "../core/errors.ts";
import { evolve } from "../core/saga/evolve.ts";
import type { JournalEntry, ParkReason, SagaEvent, Tries } from "../core/saga/events.ts";
import { findStep } from "../core/saga/state.ts";
import type { SagaState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { WaitReason } from "../core/saga/status.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { AppendEntry, Mail, NewMail, RowChange, SagaStorage, StartRow } from "../ports/storage.ts";
import { Attempt } from "./attempt.ts";
import { childEnded, toEventRow, toMail, toMails, toRow, toRowChange, toSpawn } from "./entry.ts";
import type { Written } from "./journal-writer.ts";

/** A saga with nothing to do stays in memory for this long, since the next signal or child may be near. */
export const LINGER_MS = 1_000;

/** What a runner needs from the process that it lives in. */
export interface RunnerHost {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly payloadBytesMax: number;
  /** Database time, as well as this process knows it. */
  now(): number;
  luck(): number;
  newId(): string;
  submit(entry: AppendEntry, written: Written): void;
  epoch(): number;
  /** The runner is done with its saga: `ended`, `released` to whoever claims it, or `lost` to somebody else. */
  gone(runner: SagaRunner, why: "ended" | "released" | "lost"): void;
  /** The saga was parked, or ended: somebody may wait for that. */
  changed(runner: SagaRunner): void;
  refuse(mail: Mail, error: SagaError): void;
  send(mail: NewMail): void;
}

/** What an owner knows of a saga's mail: how much was sent, and whether the unread part is on its way. */
export interface MailState {
  readonly seq: number;
  readonly fetched: boolean;
}

/**
 * One saga in its owner's memory. Turns what happens (an attempt ended, mail came, time passed) into events, has them
 * recorded, and does what the core decides. Straight lines only: every branch that matters is in `core/decide`.
 */
export class SagaRunner {
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly live: Live;
  readonly #host: RunnerHost;
  readonly #attempts = new Map<LiveTask, Attempt>();
  /** Events decided and not yet handed to the writer, with the mail they answer. */
  #events: JournalEntry[] = [];
  #readMails: string[] = [];
  #mails: NewMail[] = [];
  #spawns: StartRow[] = [];
  #unacked = 0;
  /** The row as lists show it, to write it only when it changes. */
  #row: string;
  #mailSeq: number;
  #mailFetched: boolean;
  readonly #takenMails = new Set<string>();
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #idleSince: number | undefined;
  #inTurn = false;
  /** While a transactional step commits, everything else of this saga waits. */
  #locked = false;
  #deferred: (() => void)[] = [];
  #unlocked: (() => void)[] = [];
  #releasing = false;
  isGone = false;

  constructor(options: {
    host: RunnerHost;
    definition: SagaDefinition;
    state: SagaState;
    /** What of it is recorded. 0: not even its start. */
    ackedSeq: number;
    mail: MailState;
  }) {
    this.#host = options.host;
    this.definition = options.definition;
    this.state = options.state;
    this.live = newLive(options.ackedSeq);
    this.#mailSeq = options.mail.seq;
    this.#mailFetched = options.mail.fetched;
    this.#row = JSON.stringify(toRow(options.state));
  }

  get sagaId(): string {
    return this.state.sagaId;
  }

  /** Calls of user functions in flight. */
  get inFlight(): number {
    return this.live.tasks.size;
  }

  /** True when nothing of it runs or waits to be written. */
  get isQuiet(): boolean {
    return this.live.tasks.size === 0 && this.#unacked === 0 && this.#events.length === 0 && !this.#locked;
  }

  /** Records the start of a new saga together with its row. */
  begin(start: StartRow, written: Written): void {
    this.#unacked++;
    const entry: AppendEntry = { ...this.#emptyEntry(1), events: [start.started], start };
    this.#host.submit(entry, (error) => {
      this.#unacked--;
      written(error);
      if (error) this.#lose();
      else this.#acked(1);
    });
  }

  /** Takes up a saga that this worker claimed. */
  resume({ crashed }: { readonly crashed: boolean }): void {
    adopt(this.#view(), { crashed });
    this.turn();
  }

  /** Looks at the saga and does what is due. Safe at any time, and as often as one likes. */
  turn(): void {
    if (this.isGone || this.#inTurn) return;
    if (this.#locked) return this.#defer(() => this.turn());
    this.#inTurn = true;
    try {
      this.#decide();
    } catch (error) {
      this.#stuck(error);
    } finally {
      this.#inTurn = false;
    }
  }

  #decide(): void {
    for (;;) {
      const move = next(this.#view());
      if (move.abandon.length > 0) this.#abandon(move.abandon);
      else if (move.events.length > 0) this.#record(move.events);
      else {
        this.#act(move);
        break;
      }
    }
    this.#submit();
  }

  /** A request came, by mail. Repeats of mail that was taken already are dropped. */
  deliver(mail: Mail): void {
    if (this.isGone) return;
    if (this.#locked) return this.#defer(() => this.deliver(mail));
    if (this.#takenMails.has(mail.mailId)) return;
    this.#takenMails.add(mail.mailId);
    this.#mailSeq = Math.max(this.#mailSeq, mail.mailSeq);
    try {
      this.#record(answer(this.#view(), JSON.parse(mail.body) as SagaRequest));
      this.#readMails.push(mail.mailId);
    } catch (error) {
      this.#refuse(mail, error);
    }
    this.turn();
  }

  /** All mail that had been sent when this saga was claimed is here. */
  mailFetched(): void {
    this.#mailFetched = true;
  }

  /** How much mail we have taken, for whoever claims the saga next; while some may be unread, no number fits. */
  #mailTaken(): number {
    return this.#mailFetched ? this.#mailSeq : -1;
  }

  #refuse(mail: Mail, error: unknown): void {
    const refusal = isSagaError(error)
      ? error
      : new SagaError("SAGAZ_BUG", { rule: String(error) }, { cause: error });
    this.#host.refuse(mail, refusal);
    if (mail.kind === "cancel" && this.state.started.parent) this.#tellParentOfRefusal(mail, refusal);
  }

  /** A parent that wants this child undone must not wait for ever for an end that has been, or cannot be. */
  #tellParentOfRefusal(mail: Mail, refusal: SagaError): void {
    const ended = childEnded(this.state, this.definition, refusal.message);
    const parentId = this.state.started.parent?.sagaId ?? "";
    const status = this.state.status === "completed" ? "forced_closed" : this.state.status;
    if (!isEnded(this.state.status)) return;
    this.#host.send(toMail(`${this.sagaId}/${mail.mailId}`, parentId, { ...ended, status } as SagaRequest));
  }

  /** Begins nothing new: the worker is stopping, or may not go on for now. */
  drain(): void {
    this.live.draining = true;
  }

  /** The worker may go on after all. */
  undrain(): void {
    this.live.draining = false;
    this.turn();
  }

  /** Tells everything in flight to stop. */
  abortAll(): void {
    const now = this.#host.now();
    for (const task of this.live.tasks.values()) {
      if (task.abortedAt !== undefined) continue;
      task.abortedAt = now;
      task.abortedFor = "cut_off";
      this.#attempts.get(task)?.abort("cut_off");
    }
  }

  /** Gives the saga up so that any worker may claim it at once. Only when it is quiet. */
  release(): void {
    if (this.isGone || this.#releasing || !this.isQuiet) return;
    this.#release({ wakeAt: this.#host.now(), waitingFor: null });
  }

  /** Forgets the saga: it belongs to somebody else. Its attempts are told to stop. */
  lose(): void {
    this.#lose();
  }

  #lose(): void {
    if (this.isGone) return;
    this.abortAll();
    this.#leave("lost");
  }

  #leave(why: "ended" | "released" | "lost"): void {
    this.isGone = true;
    this.#timer?.cancel();
    this.#host.gone(this, why);
  }

  #view(): View {
    return {
      definition: this.definition,
      state: this.state,
      live: this.live,
      now: this.#host.now(),
      luck: this.#host.luck(),
    };
  }

  #record(events: readonly SagaEvent[]): void {
    events.forEach((event, i) => {
      const tries = i === 0 ? this.#takeTries() : undefined;
      const data = tries ? { ...event.data, tries } : event.data;
      const entry = { ...event, data, seq: this.state.seq + 1, at: this.#host.now() } as JournalEntry;
      this.#apply(entry);
      this.#note(entry);
    });
  }

  /** An event that cannot follow leaves no gap behind: the next one takes its number. */
  #apply(entry: JournalEntry): void {
    try {
      evolve(this.state, entry);
    } catch (error) {
      this.state.seq = entry.seq - 1;
      throw error;
    }
  }

  #note(entry: JournalEntry): void {
    this.#events.push(entry);
    const scope = { definition: this.definition, state: this.state };
    const spawn = toSpawn(entry, scope);
    if (spawn) this.#spawns.push(spawn);
    this.#mails.push(...toMails(entry, scope));
    if ("step" in entry && entry.step !== undefined) this.live.retryAt.delete(entry.step);
    if (entry.type === "retry_scheduled" || entry.type === "undo_retry_scheduled") {
      this.live.retryAt.set(entry.step, entry.data.at);
    }
  }

  #takeTries(): Record<string, Tries> | undefined {
    const { changedTries, tries } = this.live;
    if (changedTries.size === 0) return undefined;
    const taken: Record<string, Tries> = {};
    for (const key of changedTries) {
      const known = tries.get(key);
      if (known) taken[key] = known;
    }
    changedTries.clear();
    tries.clear();
    return taken;
  }

  #act(move: Move): void {
    const now = this.#host.now();
    for (const { task, cause } of move.abort) {
      task.abortedAt = now;
      task.abortedFor = cause;
      this.#attempts.get(task)?.abort(cause);
    }
    for (const task of move.start) this.#start(task, now);
    const wakeAt =
      move.abort.length > 0
        ? Math.min(now + this.definition.settleMs, move.wakeAt ?? now + this.definition.settleMs)
        : move.wakeAt;
    const startedWake = move.start.length > 0 ? this.#earliestTimeout(move.start, now) : undefined;
    this.#wake(minOf(wakeAt, startedWake));
    this.#considerRelease(move);
  }

  #earliestTimeout(tasks: readonly Task[], now: number): number {
    return now + Math.min(...tasks.map(({ step }) => step.attemptTimeoutMs));
  }

  #start(task: Task, now: number): void {
    const { log, payloadBytesMax } = this.#host;
    const attempt = new Attempt(task, {
      definition: this.definition,
      state: this.state,
      log,
      payloadBytesMax,
      newId: () => this.#host.newId(),
    });
    const running: LiveTask = { task, startedAt: now, abortedAt: undefined, abortedFor: undefined };
    this.live.tasks.set(taskId(task), running);
    this.live.retryAt.delete(task.key);
    this.#attempts.set(running, attempt);
    if (
      task.kind !== "prepare" &&
      task.step.kind === "action" &&
      task.step.transactional &&
      task.kind !== "verify"
    ) {
      void this.#runInTransaction(running, attempt);
    } else {
      void attempt.run().then((outcome) => this.#settled(running, outcome));
    }
  }

  #settled(running: LiveTask, outcome: Outcome): void {
    this.#attempts.delete(running);
    if (this.#locked && !this.isGone) return this.#defer(() => this.#settled(running, outcome));
    const { task } = running;
    if (this.live.tasks.get(taskId(task)) !== running) return this.#settledLate(task, outcome);
    if (this.isGone) return this.#settledLate(task, outcome);
    this.live.tasks.delete(taskId(task));
    this.#input(() => settle(this.#view(), task, outcome));
  }

  /** An attempt that nobody waited for any more turned out to have an end. Only an effect matters. */
  #settledLate(task: Task, outcome: Outcome): void {
    if (task.kind !== "do" || outcome.type !== "done") return;
    if (this.#locked) return this.#defer(() => this.#settledLate(task, outcome));
    if (!this.isGone) return this.#input(() => settleLate(this.#view(), task, outcome));
    const request: SagaRequest = { kind: "late_effect", step: task.key, result: outcome.result ?? null };
    this.#host.send(
      toMail(`${this.sagaId}/${task.key}/late/${task.round}/${task.attempt}`, this.sagaId, request),
    );
  }

  #input(decide: () => readonly SagaEvent[]): void {
    try {
      this.#record(decide());
    } catch (error) {
      return this.#stuck(error);
    }
    this.turn();
  }

  /** What was told to stop and did not: the engine goes on without knowing how it ended. */
  #abandon(tasks: readonly LiveTask[]): void {
    for (const running of tasks) {
      this.live.tasks.delete(taskId(running.task));
      const kind = running.abortedFor ?? "timeout";
      const what = `the attempt did not settle within settleMs = ${this.definition.settleMs} after it was told to stop`;
      this.#record(
        settle(this.#view(), running.task, {
          type: "unknown",
          error: toRecordedError(new Error(what), kind),
        }),
      );
    }
  }

  /**
   * A transactional step: the user's writes and the step's event commit together or not at all. The handler runs
   * first; only then does the saga stand still, for the time of one commit.
   */
  async #runInTransaction(running: LiveTask, attempt: Attempt): Promise<void> {
    const end: { outcome: Outcome; recorded?: JournalEntry } = { outcome: ROLLED_BACK };
    try {
      await this.#host.storage.journal.transaction(async (tx, append) => {
        const outcome = await attempt.run(tx);
        if (outcome.type !== "done") {
          end.outcome = rolledBack(outcome);
          throw new RollBack();
        }
        end.recorded = await this.#appendInTransaction(running, outcome, append);
      });
    } catch (error) {
      await this.#transactionFailed(end, error);
    }
    if (end.recorded && !this.isGone) this.#applyRecorded(running, end.recorded);
    this.#unlock();
    if (!end.recorded) this.#settled(running, end.outcome);
  }

  /** Settles what the end of a transaction means: a commit in doubt is looked up, never guessed. */
  async #transactionFailed(
    end: { outcome: Outcome; recorded?: JournalEntry },
    error: unknown,
  ): Promise<void> {
    if (error instanceof RollBack) return;
    if (
      isSagaError(error, "SAGAZ_COMMIT_IN_DOUBT") &&
      end.recorded &&
      (await this.#wasRecorded(end.recorded))
    )
      return;
    delete end.recorded;
    if (isSagaError(error, "SAGAZ_CONFLICT") || isSagaError(error, "SAGAZ_FENCED")) this.#lose();
    end.outcome = { type: "failed", error: toRecordedError(error, "error"), final: false };
  }

  async #appendInTransaction(
    running: LiveTask,
    outcome: Outcome,
    append: (batch: { epoch: number; entries: readonly AppendEntry[] }) => Promise<unknown>,
  ): Promise<JournalEntry> {
    await this.#lock();
    const late = this.isGone || this.live.tasks.get(taskId(running.task)) !== running;
    // What nobody waits for any more can still be taken back: it is not committed.
    if (late) throw new RollBack();
    const [event] = settle(this.#view(), running.task, outcome);
    if (!event) throw new RollBack();
    const entry = { ...event, seq: this.state.seq + 1, at: this.#host.now() } as JournalEntry;
    await append({
      epoch: this.#host.epoch(),
      entries: [{ ...this.#emptyEntry(entry.seq), events: [toEventRow(entry)] }],
    });
    return entry;
  }

  #applyRecorded(running: LiveTask, entry: JournalEntry): void {
    this.#attempts.delete(running);
    this.live.tasks.delete(taskId(running.task));
    evolve(this.state, entry);
    this.live.retryAt.delete(running.task.key);
    this.live.unsettled.delete(running.task.key);
    this.live.ackedSeq = entry.seq;
  }

  /** Asked after a commit in doubt, until the storage answers. */
  async #wasRecorded({ seq }: JournalEntry): Promise<boolean> {
    for (;;) {
      try {
        const [tail] = await this.#host.storage.journal.tails([this.sagaId]);
        return tail !== undefined && tail.seq >= seq;
      } catch {
        await new Promise<void>((resolve) => this.#host.clock.setTimer(LINGER_MS, resolve));
      }
    }
  }

  /** Waits until nothing of this saga is being written, and keeps it that way until `#unlock`. */
  async #lock(): Promise<void> {
    while (this.#locked || this.#unacked > 0 || this.#events.length > 0) {
      if (this.isGone) return;
      await new Promise<void>((resolve) => this.#unlocked.push(resolve));
    }
    this.#locked = true;
  }

  #unlock(): void {
    this.#locked = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const call of deferred) call();
    this.#wakeLocks();
    this.turn();
  }

  #wakeLocks(): void {
    const waiting = this.#unlocked;
    this.#unlocked = [];
    for (const resolve of waiting) resolve();
  }

  #defer(call: () => void): void {
    this.#deferred.push(call);
  }

  #emptyEntry(firstSeq: number): AppendEntry {
    return {
      sagaId: this.sagaId,
      firstSeq,
      events: [],
      start: undefined,
      row: undefined,
      spawns: [],
      mails: [],
      readMails: [],
    };
  }

  #submit(): void {
    if (this.#events.length === 0 && this.#readMails.length === 0) return;
    const ended = isEnded(this.state.status);
    const release = ended ? { wakeAt: null, mailSeq: this.#mailTaken() } : undefined;
    this.#write(this.#rowIfChanged(release, null));
  }

  #write(row: RowChange | undefined): void {
    const entry: AppendEntry = {
      ...this.#emptyEntry(this.#events[0]?.seq ?? this.state.seq + 1),
      events: this.#events.map(toEventRow),
      row,
      spawns: this.#spawns,
      mails: this.#mails,
      readMails: this.#readMails,
    };
    const last = this.state.seq;
    const parked = this.#events.some(({ type }) => type === "saga_parked");
    this.#events = [];
    this.#readMails = [];
    this.#mails = [];
    this.#spawns = [];
    this.#unacked++;
    if (row?.release) this.#releasing = true;
    this.#host.submit(entry, (error) => {
      this.#unacked--;
      if (error) return this.#lose();
      if (row?.release) return this.#released(row.finished);
      this.#acked(last);
      if (parked) this.#host.changed(this);
    });
  }

  #released(ended: boolean): void {
    this.live.ackedSeq = this.state.seq;
    this.abortAll();
    this.#leave(ended ? "ended" : "released");
    this.#wakeLocks();
  }

  #acked(seq: number): void {
    this.live.ackedSeq = Math.max(this.live.ackedSeq, seq);
    if (this.isGone) return;
    this.#wakeLocks();
    this.turn();
  }

  #rowIfChanged(release: RowChange["release"], waitingFor: WaitReason | null): RowChange | undefined {
    const text = JSON.stringify(toRow(this.state));
    if (text === this.#row && !release) return undefined;
    this.#row = text;
    return toRowChange(this.state, { release, waitingFor });
  }

  /** A saga that only waits leaves memory; its row says when to come back, and mail brings it back sooner. */
  #considerRelease(move: Move): void {
    const now = this.#host.now();
    const waits =
      this.isQuiet && !this.#releasing && this.#readMails.length === 0 && !isEnded(this.state.status);
    const soon = move.wakeAt !== undefined && move.wakeAt - now <= LIMITS.memoryDelayMsMax;
    if (!waits || soon || move.start.length > 0 || this.live.draining) {
      this.#idleSince = undefined;
      return;
    }
    this.#idleSince ??= now;
    if (now - this.#idleSince >= LINGER_MS)
      this.#release({ wakeAt: move.wakeAt ?? null, waitingFor: move.waitingFor });
    else this.#wake(this.#idleSince + LINGER_MS);
  }

  #release({ wakeAt, waitingFor }: { wakeAt: number | null; waitingFor: WaitReason | null }): void {
    this.#noteVolatile();
    this.#write(this.#rowIfChanged({ wakeAt, mailSeq: this.#mailTaken() }, waitingFor));
  }

  /** What only memory knows and a later owner must: delays that still run, and tries that no event has told. */
  #noteVolatile(): void {
    const now = this.#host.now();
    const type = this.state.direction === "forward" ? "retry_scheduled" : "undo_retry_scheduled";
    for (const [key, at] of [...this.live.retryAt]) {
      const step = findStep(this.state, key);
      if (at <= now || step?.retryAt === at) continue;
      const error = step?.error ?? toRecordedError(new Error("an earlier attempt failed"), "error");
      this.#record([{ type, step: key, data: { at, error } }]);
    }
    if (this.live.changedTries.size > 0) this.#record([{ type: "attempts_noted", data: {} }]);
  }

  #wake(at: number | undefined): void {
    if (at === undefined || at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#host.clock.setTimer(Math.max(1, at - this.#host.now()), () => {
      this.#timer = undefined;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.turn();
    });
  }

  /** A rule of ours was broken: this saga stops, loudly; all others go on. */
  #stuck(error: unknown): void {
    this.#host.log.error("sagaz: a saga is stuck; this is a bug in sagaz", {
      sagaId: this.sagaId,
      error: String(error),
    });
    const reason: ParkReason = "stuck";
    const detail = toRecordedError(error, "error").message;
    this.#events = this.#events.filter(({ seq }) => seq <= this.state.seq);
    this.live.draining = true;
    if (isEnded(this.state.status) || this.state.parked?.reason === "stuck") return this.#lose();
    this.#record([{ type: "saga_parked", data: { reason, detail } }]);
    this.#write(this.#rowIfChanged({ wakeAt: null, mailSeq: this.#mailTaken() }, "operator"));
  }
}

/** Rolls the engine's transaction back without being an error of anybody's. */
class RollBack extends Error {}

const ROLLED_BACK: Outcome = {
  type: "failed",
  error: {
    name: "RolledBack",
    message: "the transaction was rolled back: nobody waited for it any more",
    kind: "error",
  },
  final: false,
};

/** A transaction that was rolled back took no effect, whatever its handler could tell. */
function rolledBack(outcome: Exclude<Outcome, { type: "done" }>): Outcome {
  return outcome.type === "failed"
    ? outcome
    : { type: "failed", error: outcome.error, final: outcome.final ?? false };
}

function minOf(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b;
  return b === undefined ? a : Math.min(a, b);
}
