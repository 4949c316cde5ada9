import { SagaError } from "../../core/errors.ts";
import type { AppendBatch, ClaimedSaga, Hint, SagaStorage } from "../../ports/storage.ts";
import type { FakeClock } from "../fake-clock.ts";
import type { SeededChance } from "../seeded-chance.ts";
import type { Faults } from "./faults.ts";
import type { History } from "./history.ts";

/** Where answers reach a process: at once, when it runs again, or never. */
export interface Receiver {
  readonly name: string;
  /** Calls now if the process runs, later if it is halted, never if it is dead. */
  deliver(call: () => void): void;
  /** Hints are not kept for a process that does not listen. */
  readonly isRunning: boolean;
  readonly isDead: boolean;
}

/** What a line is made of. */
export interface LineParts {
  readonly storage: SagaStorage;
  readonly clock: FakeClock;
  readonly chance: SeededChance;
  readonly receiver: Receiver;
  readonly history: History;
  /** Looked at for each call, so that faults can begin and end. */
  readonly faults: () => Faults;
  /** True while nobody reaches the storage. */
  readonly isDown: () => boolean;
}

type Call<Answer> = () => Promise<Answer>;

/** How a call goes: time on the way there and back, and what becomes of it. */
interface Fate {
  readonly sendMs: number;
  readonly answerMs: number;
  readonly end: "answered" | "refused" | "lost" | "straggling";
  /** How much later a straggler is carried out. */
  readonly straggleMs: number;
}

/**
 * The line from one process to the storage: it is slow, breaks before or after the write, and delivers to nobody when
 * the process has died. What was on its way then may still arrive: a write of a dead process, for its fence to refuse.
 */
export class FaultyLine {
  readonly storage: SagaStorage;
  readonly #parts: LineParts;
  /** Sagas that a claim took although its answer was lost: an adapter hands them over with the next claim. */
  #doubtful: ClaimedSaga[] = [];
  readonly #poisoned = new Map<string, "open" | "over">();

  constructor(parts: LineParts) {
    this.#parts = parts;
    this.storage = this.#wrap(parts.storage);
  }

  #wrap(inner: SagaStorage): SagaStorage {
    const { deadLetters, flows, inbox, journal, outbox, participants, queries, upkeep, ...storage } = inner;
    const writes = <Answer>(what: string, call: Call<Answer>) => this.#through(call, { what, writes: true });
    const reads = <Answer>(what: string, call: Call<Answer>) => this.#through(call, { what, writes: false });
    return {
      name: storage.name,
      can: storage.can,
      start: () => reads("start", () => storage.start()),
      stop: () => storage.stop(),
      listen: (listener) => storage.listen((hint) => this.#hint(listener, hint)),
      journal: {
        append: (batch) => writes("append", async () => this.#poison(batch) ?? journal.append(batch)),
        tails: (ids) => reads("tails", () => journal.tails(ids)),
        startKeyed: (epoch, starts) => writes("startKeyed", () => journal.startKeyed(epoch, starts)),
        startIn: (tx, start) => journal.startIn(tx, start),
        transaction: (work) => journal.transaction(work),
      },
      leases: this.#leases(inner),
      mailbox: this.#mailbox(inner),
      queries: {
        find: (id) => reads("find", () => queries.find(id)),
        journal: (id, range) => reads("journal", () => queries.journal(id, range)),
        list: (filter) => reads("list", () => queries.list(filter)),
        ended: (ids) => reads("ended", () => queries.ended(ids)),
        counts: (sinceMs) => reads("counts", () => queries.counts(sinceMs)),
        journalled: (range) => reads("journalled", () => queries.journalled(range)),
      },
      upkeep: {
        maintain: () => writes("maintain", () => upkeep.maintain()),
        claimOrphans: (claim) =>
          this.#claim("claimOrphans", { epoch: claim.epoch, call: () => upkeep.claimOrphans(claim) }),
        writeProjections: (rows) => writes("writeProjections", () => upkeep.writeProjections(rows)),
      },
      outbox: {
        addIn: (tx, events, holdMs) => outbox.addIn(tx, events, holdMs),
        toText: (events, holdMs) => outbox.toText(events, holdMs),
        behindOthers: (events) => reads("behindOthers", () => outbox.behindOthers(events)),
        settleHeld: (held) => writes("settleHeld", () => outbox.settleHeld(held)),
        balance: (epoch) => writes("balance", () => outbox.balance(epoch)),
        release: (held) => writes("release", () => outbox.release(held)),
        take: (request) => reads("take", () => outbox.take(request)),
        settle: (settlement) => writes("settle", () => outbox.settle(settlement)),
        backlog: () => reads("backlog", () => outbox.backlog()),
      },
      inbox: {
        process: (request, work) => writes("process", () => inbox.process(request, work)),
        processIn: (tx, request, work) => inbox.processIn(tx, request, work),
      },
      deadLetters: {
        bury: (letter) => writes("bury", () => deadLetters.bury(letter)),
        list: (filter) => reads("letters", () => deadLetters.list(filter)),
        redrive: (request) => writes("redrive", () => deadLetters.redrive(request)),
      },
      participants,
      flows: {
        record: (events) => writes("record", () => flows.record(events)),
        list: (flow) => reads("flow", () => flows.list(flow)),
      },
    };
  }

  #leases({ leases }: SagaStorage): SagaStorage["leases"] {
    const writes = <Answer>(what: string, call: Call<Answer>) => this.#through(call, { what, writes: true });
    return {
      register: (worker) => writes("register", () => leases.register(worker)),
      beat: (epoch) =>
        writes("beat", async () => {
          const beat = await leases.beat(epoch);
          return { ...beat, work: beat.work || (beat.alive && this.#doubtful.length > 0) };
        }),
      fenceExpired: () => writes("fenceExpired", () => leases.fenceExpired()),
      claim: (claim) => this.#claim("claim", { epoch: claim.epoch, call: () => leases.claim(claim) }),
      forgotten: (asked) =>
        this.#through(() => this.#forgotten(leases, asked), { what: "forgotten", writes: false }),
      retire: (epoch) => writes("retire", () => leases.retire(epoch)),
    };
  }

  #mailbox({ mailbox }: SagaStorage): SagaStorage["mailbox"] {
    const { chance, history, faults } = this.#parts;
    const writes = <Answer>(what: string, call: Call<Answer>) => this.#through(call, { what, writes: true });
    return {
      send: (mail) => {
        const twice = chance.happens(faults().repeatMail);
        if (twice) history.saw("duplicate mails");
        return writes("send", async () => {
          await mailbox.send(mail);
          if (twice) await mailbox.send(mail);
        });
      },
      fetch: (epoch, limit, after) =>
        this.#through(() => mailbox.fetch(epoch, limit, after), { what: "fetch", writes: false }),
      refuse: (epoch, refusals) => writes("refuse", () => mailbox.refuse(epoch, refusals)),
      outcome: (mail) => this.#through(() => mailbox.outcome(mail), { what: "outcome", writes: false }),
    };
  }

  #claim(
    what: string,
    { epoch, call }: { epoch: number; call: Call<readonly ClaimedSaga[]> },
  ): Promise<readonly ClaimedSaga[]> {
    const recovering = async () => {
      const doubtful = this.#doubtful;
      this.#doubtful = [];
      const owned = await Promise.all(doubtful.map((saga) => this.#ifOwned(saga, epoch)));
      const recovered = owned.filter((saga) => saga !== undefined);
      return recovered.length > 0 ? recovered : call();
    };
    const lost = (claimed: readonly ClaimedSaga[]) => void this.#doubtful.push(...claimed);
    return this.#through(recovering, { what, writes: true, lost, neverStraggles: true });
  }

  /** As an adapter does: what a lost claim took is among it, and not handed over twice. */
  #forgotten(
    leases: SagaStorage["leases"],
    asked: Parameters<SagaStorage["leases"]["forgotten"]>[0],
  ): Promise<readonly ClaimedSaga[]> {
    this.#doubtful = [];
    return leases.forgotten(asked);
  }

  async #ifOwned(saga: ClaimedSaga, epoch: number): Promise<ClaimedSaga | undefined> {
    const row = await this.#parts.storage.queries.find(saga.sagaId);
    return row?.owner === epoch ? saga : undefined;
  }

  /** Throws when an entry of the batch is taken for poisoned. The next time the same saga is not. */
  #poison({ entries }: AppendBatch): undefined {
    const { chance, faults, history } = this.#parts;
    const { poison } = faults();
    if (poison === 0) return undefined;
    const poisoned = this.#poisoned;
    for (const { sagaId } of entries) {
      if (poisoned.has(sagaId) && poisoned.get(sagaId) === "open") throw this.#refuse(entries, sagaId);
      if (poisoned.has(sagaId) || !chance.happens(poison)) continue;
      poisoned.set(sagaId, "open");
      history.saw("refused writes");
      throw this.#refuse(entries, sagaId);
    }
    return undefined;
  }

  /** A batch is refused until its poisoned entry stands alone. */
  #refuse(entries: AppendBatch["entries"], sagaId: string): SagaError {
    if (entries.every((entry) => entry.sagaId === sagaId)) this.#poisoned.set(sagaId, "over");
    this.#parts.history.note(
      `${this.#parts.receiver.name}: a write of ${sagaId.slice(-4)} is refused for good`,
    );
    return new SagaError("SAGAZ_STORAGE_REFUSED", { message: "simulated" });
  }

  #hint(listener: (hint: Hint) => void, hint: Hint): void {
    if (this.#parts.receiver.isRunning) listener(hint);
  }

  #through<Answer>(
    call: Call<Answer>,
    line: { what: string; writes: boolean; lost?: (answer: Answer) => void; neverStraggles?: boolean },
  ): Promise<Answer> {
    const { what, writes } = line;
    const { receiver, clock } = this.#parts;
    const fate = this.#drawFate(writes && !line.neverStraggles);
    return new Promise<Answer>((resolve, reject) => {
      const unavailable = () => {
        this.#note("unavailable", what);
        receiver.deliver(() => reject(new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "simulated" })));
      };
      const lost = () => {
        if (!writes) return unavailable();
        this.#note("lost acks", what);
        receiver.deliver(() => reject(new SagaError("SAGAZ_COMMIT_IN_DOUBT", { message: "simulated" })));
      };
      const arrive = () => {
        if (receiver.isDead && this.#parts.chance.happens(0.5)) return;
        if (fate.end === "refused" || this.#parts.isDown()) return unavailable();
        if (fate.end === "straggling") {
          this.#parts.history.saw("stragglers");
          lost();
          clock.setTimer(fate.straggleMs, () => void call().catch(() => {}));
          return;
        }
        const answer = call();
        answer.catch(() => {}); // heard below, once its time has come
        const back = () =>
          fate.end === "lost" || this.#parts.isDown()
            ? answer.then((value) => (line.lost?.(value), lost()), lost)
            : answer.then(
                (value) => receiver.deliver(() => resolve(value)),
                (error: unknown) => receiver.deliver(() => reject(error)),
              );
        later(clock, fate.answerMs, () => void back());
      };
      later(clock, fate.sendMs, arrive);
    });
  }

  #drawFate(mayStraggle: boolean): Fate {
    const { chance, faults } = this.#parts;
    const { refuseWrite, loseAnswer, straggle, slowStorage, slowMs } = faults();
    const straggleMs = 1 + chance.below(slowMs);
    const slow = () => (chance.happens(slowStorage) ? 1 + chance.below(slowMs) : 0);
    const [sendMs, answerMs] = [slow(), slow()];
    const way = { sendMs, answerMs, straggleMs };
    if (chance.happens(refuseWrite)) return { ...way, end: "refused" };
    if (mayStraggle && chance.happens(straggle)) return { ...way, end: "straggling" };
    return { ...way, end: chance.happens(loseAnswer) ? "lost" : "answered" };
  }

  #note(sight: "unavailable" | "lost acks", what: string): void {
    const { history, receiver } = this.#parts;
    history.saw(sight);
    history.note(`${receiver.name}: ${what}: ${sight}`);
  }
}

function later(clock: FakeClock, delayMs: number, call: () => void): void {
  if (delayMs === 0) call();
  else clock.setTimer(delayMs, call);
}
