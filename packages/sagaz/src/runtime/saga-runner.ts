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
import { must } from "../core/must.ts";
import { evolve } from "../core/saga/evolve.ts";
import type { JournalEntry, SagaEvent } from "../core/saga/events.ts";
import type { SagaState } from "../core/saga/state.ts";
import { isEnded } from "../core/saga/status.ts";
import type { WaitReason } from "../core/saga/status.ts";
import type { Mail, StartRow } from "../ports/storage.ts";
import { Alarm } from "./alarm.ts";
import { AppendTurn } from "./append-turn.ts";
import { Attempt } from "./attempt.ts";
import { Effects } from "./effects.ts";
import type { Settled } from "./effects.ts";
import { cancelRefused, toEventRow } from "./entry.ts";
import type { Written } from "./journal-writer.ts";
import { fromText } from "./payload.ts";
import { TakenMail } from "./taken-mail.ts";
import { emptyEntry, Recording, toStartEntry } from "./recording.ts";
import type { Release } from "./recording.ts";
import type { MailState, RunnerHost } from "./runner-host.ts";
import { RunnerView } from "./runner-view.ts";
import { isTransactional, runInTransaction } from "./transactional-step.ts";
import type { Prepared } from "./transactional-step.ts";

/** A saga with nothing to do stays in memory for this long, since the next signal or child may be near. */
const LINGER_MS = 1_000;

/**
 * One saga in its owner's memory. Turns what happens (an attempt ended, mail came, time passed) into events, has them
 * recorded, and does what the core decides. Straight lines only: every branch that matters is in `core/decide`.
 */
export class SagaRunner {
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly live: Live;
  readonly #host: RunnerHost;
  readonly #recording: Recording;
  readonly #turnToAppend = new AppendTurn();
  readonly #alarm: Alarm;
  readonly #mail: TakenMail;
  readonly #effects: Effects;
  readonly #view: RunnerView;
  #unacked = 0;
  #idleSince: number | undefined;
  #inTurn = false;
  #releasing = false;
  #isStuck = false;
  #gone = false;

  constructor(options: {
    host: RunnerHost;
    definition: SagaDefinition;
    state: SagaState;
    /** What of it is recorded. 0: not even its start. */
    ackedSeq: number;
    mail: MailState;
  }) {
    const { host, definition, state, ackedSeq, mail } = options;
    this.#host = host;
    this.definition = definition;
    this.state = state;
    this.live = newLive(ackedSeq);
    this.#mail = new TakenMail(mail);
    this.#effects = new Effects(host, state.sagaId);
    this.#recording = new Recording({ definition, state, live: this.live });
    this.#view = new RunnerView({ definition, state, live: this.live, host });
    this.#alarm = new Alarm(host, () => this.turn());
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
    return this.live.tasks.size === 0 && !this.#isWriting() && !this.#turnToAppend.isTaken;
  }

  #isWriting(): boolean {
    return !this.#gone && (this.#unacked > 0 || !this.#recording.isEmpty);
  }

  /** Records the start of a new saga together with its row. */
  begin(start: StartRow, written: Written): void {
    this.#unacked++;
    this.#host.submit(toStartEntry(start), (error) => {
      this.#unacked--;
      written(error);
      if (error) this.lose();
      else this.#acked(1);
    });
  }

  /** Takes up a saga that this worker claimed. */
  resume({ crashed }: { readonly crashed: boolean }): void {
    adopt(this.#view.look(), { crashed });
    this.turn();
  }

  /** Looks at the saga and does what is due. Safe at any time, and as often as one likes. */
  turn(): void {
    if (this.#gone || this.#inTurn) return;
    if (this.#turnToAppend.isTaken) return this.#turnToAppend.defer(() => this.turn());
    if (this.#isStuck) return this.#standBy();
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
    const view = this.#view.look();
    for (;;) {
      const move = next(view);
      if (move.abandon.length > 0) this.#abandon(move.abandon);
      else if (move.events.length > 0) this.#recording.record(move.events, view.now);
      else {
        this.#act(move, view.now);
        break;
      }
    }
    this.#submit();
  }

  #act(move: Move, now: number): void {
    for (const { task, cause } of move.abort) this.#abort(task, cause);
    for (const task of move.start) this.#start(task, now);
    if (move.abort.length > 0) this.#alarm.setFor(now + this.definition.settleMs);
    if (move.wakeAt !== undefined) this.#alarm.setFor(move.wakeAt);
    this.#considerRelease(move, now);
  }

  #abort(running: LiveTask, cause: "timeout" | "cut_off"): void {
    asAttempt(running).abort(cause, this.#host.now());
  }

  #start(task: Task, now: number): void {
    const attempt = new Attempt(task, now, this.#view);
    this.live.tasks.set(taskId(task), attempt);
    this.live.retryAt.delete(task.key);
    this.#alarm.setFor(now + task.step.attemptTimeoutMs);
    if (isTransactional(task)) void this.#runInTransaction(attempt);
    else attempt.run((outcome) => this.#settled(attempt, outcome));
  }

  /** An attempt ended. One that was given up on, or whose saga is gone, matters only if it took effect. */
  #settled(running: LiveTask, outcome: Outcome): void {
    if (this.#turnToAppend.isTaken && !this.#gone) {
      return this.#turnToAppend.defer(() => this.#settled(running, outcome));
    }
    const { task } = running;
    if (this.#gone || this.#releasing) return this.#effects.tell([{ task, outcome }]);
    this.#effects.note({ task, outcome });
    if (this.live.tasks.get(taskId(task)) !== running)
      return this.#input(running, (view) => settleLate(view, task, outcome));
    this.live.tasks.delete(taskId(task));
    this.#input(running, (view) => settle(view, task, outcome));
  }

  #input(running: LiveTask, decide: (view: View) => readonly SagaEvent[]): void {
    const view = this.#view.look();
    try {
      const events = decide(view);
      this.#recording.record(events, view.now);
      this.#recording.publish(asAttempt(running).publishedWith(events));
    } catch (error) {
      return this.#stuck(error);
    }
    this.turn();
  }

  /** What was told to stop and did not: the engine goes on without knowing how it ended. */
  #abandon(tasks: readonly LiveTask[]): void {
    for (const running of tasks) {
      this.live.tasks.delete(taskId(running.task));
      const why = `the attempt did not settle within settleMs = ${this.definition.settleMs} after it was told to stop`;
      const error = toRecordedError(new Error(why), running.abortedFor ?? "timeout");
      this.#recording.record(settle(this.#view, running.task, { type: "unknown", error }), this.#view.now);
    }
  }

  async #runInTransaction(attempt: Attempt): Promise<void> {
    const { storage, clock } = this.#host;
    const prepare = (outcome: Outcome) => this.#prepareCommit(attempt, outcome);
    const end = await runInTransaction(attempt, { sagaId: this.sagaId, storage, clock, prepare });
    if (end.refusal) this.#notWritten(end.refusal, []);
    if (end.recorded && !this.#gone) this.#recordedInTransaction(attempt, end.recorded);
    this.#turnToAppend.giveBack();
    if (end.recorded) this.turn();
    else this.#settled(attempt, end.outcome);
  }

  async #prepareCommit(running: LiveTask, outcome: Outcome): Promise<Prepared | undefined> {
    await this.#turnToAppend.take(() => this.#isWriting());
    // What nobody waits for any more can still be taken back: it is not committed.
    if (this.#gone || this.live.tasks.get(taskId(running.task)) !== running) return undefined;
    const view = this.#view.look();
    const [decided] = settle(view, running.task, outcome);
    if (!decided) return undefined;
    const event = { ...decided, seq: this.state.seq + 1, at: view.now } as JournalEntry;
    const outbox = asAttempt(running).publishedWith([decided]);
    const entry = { ...emptyEntry(this.sagaId, event.seq), events: [toEventRow(event)], outbox };
    return { event, entry, epoch: this.#host.epoch() };
  }

  #recordedInTransaction(running: LiveTask, entry: JournalEntry): void {
    this.live.tasks.delete(taskId(running.task));
    this.live.retryAt.delete(running.task.key);
    evolve(this.state, entry);
    this.live.ackedSeq = entry.seq;
  }

  // Mail.

  /** A request came, by mail. Repeats of mail that was taken already are dropped. */
  deliver(mail: Mail): void {
    if (this.#gone || this.#releasing) return; // it stays unread, for whoever claims the saga next
    if (this.#turnToAppend.isTaken) return this.#turnToAppend.defer(() => this.deliver(mail));
    const arrival = this.#mail.take(mail);
    if (arrival === "repeat") return;
    const view = this.#view.look();
    try {
      if (arrival === "new")
        this.#recording.record(answer(view, fromText(mail.body) as SagaRequest), view.now);
      this.#recording.answers(mail.mailId);
    } catch (error) {
      this.#refuse(mail, error);
    }
    this.turn();
  }

  /** All mail that had been sent when this saga was claimed is here. */
  mailFetched(): void {
    this.#mail.fetched();
    if (this.#isStuck) this.turn();
  }

  #refuse(mail: Mail, error: unknown): void {
    const bug = () => new SagaError("SAGAZ_BUG", { rule: String(error) }, { cause: error });
    const refusal = isSagaError(error) ? error : bug();
    const toParent = mail.kind === "cancel" ? cancelRefused(mail, refusal, this) : undefined;
    if (toParent) this.#recording.answers(mail.mailId, toParent);
    else void this.#mail.refused(mail, this.#host.refuse(mail, refusal));
  }

  // Writing, and leaving memory.

  #submit(): void {
    if (this.#recording.isEmpty) return;
    this.#write(isEnded(this.state.status) ? this.#releaseFor(null, null) : undefined);
  }

  #releaseFor(wakeAt: number | null, waitingFor: WaitReason | null): Release {
    return { wakeAt, waitingFor, mailSeq: this.#mail.seq };
  }

  #write(release: Release | undefined): void {
    const parked = this.#recording.has("saga_parked");
    const entry = this.#recording.take(release);
    const last = this.state.seq;
    const ended = isEnded(this.state.status);
    const settled = this.#effects.take();
    this.#unacked++;
    if (release) this.#releasing = true;
    this.#host.submit(entry, (error) => {
      this.#unacked--;
      if (error) return this.#notWritten(error, settled);
      this.live.ackedSeq = Math.max(this.live.ackedSeq, last);
      if (release) return this.#leave(ended ? "ended" : "released");
      if (parked) this.#host.changed(this);
      this.#acked(last);
    });
  }

  /** What memory holds is not what is stored, and will not be. Unless we were fenced, it is ours to load anew. */
  #notWritten(error: SagaError, settled: readonly Settled[]): void {
    if (error.code === "SAGAZ_FENCED") this.#effects.tell(settled);
    if (this.#gone) return;
    this.lose();
    this.#host.notWritten({ sagaId: this.sagaId, ackedSeq: this.live.ackedSeq }, error);
  }

  #acked(seq: number): void {
    this.live.ackedSeq = Math.max(this.live.ackedSeq, seq);
    if (this.#gone) return;
    this.#turnToAppend.recheck();
    this.turn();
  }

  /** A saga that only waits leaves memory; its row says when to come back, and mail brings it back sooner. */
  #considerRelease(move: Move, now: number): void {
    if (!this.#onlyWaits(move, now)) {
      this.#idleSince = undefined;
      return;
    }
    this.#idleSince ??= now;
    if (now - this.#idleSince < LINGER_MS) return this.#alarm.setFor(this.#idleSince + LINGER_MS);
    this.#recording.noteVolatile(now);
    this.#write(this.#releaseFor(move.wakeAt ?? null, move.waitingFor));
  }

  #onlyWaits(move: Move, now: number): boolean {
    if (!this.isQuiet || this.#releasing || this.live.draining || move.start.length > 0) return false;
    if (isEnded(this.state.status) && this.#unacked > 0) return false;
    return move.wakeAt === undefined || move.wakeAt - now > LIMITS.memoryDelayMsMax;
  }

  /** Gives the saga up so that any worker may claim it at once. Only when it is quiet. */
  release(): void {
    if (this.#gone || this.#releasing || !this.isQuiet) return;
    this.#recording.noteVolatile(this.#host.now());
    this.#write(this.#releaseFor(this.#host.now(), null));
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
    for (const running of this.live.tasks.values()) this.#abort(running, "cut_off");
  }

  /** Forgets the saga: it belongs to somebody else. Its attempts are told to stop. */
  lose(): void {
    if (!this.#gone) this.#leave("lost");
  }

  #leave(why: "ended" | "released" | "lost"): void {
    if (why === "lost") this.#effects.tell(this.#effects.take());
    this.abortAll();
    this.#gone = true;
    this.#alarm.cancel();
    this.#turnToAppend.recheck();
    this.#host.gone(this, why);
  }

  /** A rule of ours was broken: this saga stops, loudly; all others go on. */
  #stuck(error: unknown): void {
    const { sagaId } = this;
    this.#host.log.error("sagaz: a saga is stuck; this is a bug in sagaz", { sagaId, error: String(error) });
    this.live.draining = true;
    this.#isStuck = true;
    if (this.#releasing) return;
    if (this.#isAtRest()) return this.#standBy();
    const { message } = toRecordedError(error, "error");
    const crashed = this.inFlight > 0 ? ({ crashed: true } as const) : {};
    const data = { reason: "stuck", detail: message, ...crashed } as const;
    this.#recording.record([{ type: "saga_parked", data }], this.#host.now());
    this.#write(this.#releaseFor(null, "operator"));
  }

  /** It goes on only when a person says so. */
  #isAtRest(): boolean {
    return isEnded(this.state.status) || this.state.parked?.reason === "stuck";
  }

  /**
   * Decides nothing any more, but answers its mail: while the bug lasts, a person can still close the saga by force. When
   * all mail is read, it is given up; after a retry for whoever claims it first, who may have a mended version.
   */
  #standBy(): void {
    if (this.#releasing) return;
    if (this.inFlight > 0 || this.#unacked > 0 || this.#mail.seq < 0) return this.#submit();
    this.#write(this.#releaseFor(this.#isAtRest() ? null : this.#host.now(), null));
  }
}

function asAttempt(running: LiveTask): Attempt {
  must(running instanceof Attempt, "every task in flight here was begun here");
  return running;
}
