import type { SagaDefinition } from "../../../packages/sagaz/src/core/definition/definition.ts";
import type { BrokerMessage } from "../../../packages/sagaz/src/ports/broker.ts";
import type { SagaStorage } from "../../../packages/sagaz/src/ports/storage.ts";
import { DeadLetters } from "../../../packages/sagaz/src/runtime/delivery/dead-letters.ts";
import type { Reason, Sagas } from "../../../packages/sagaz/src/runtime/sagas.ts";
import { FakeClock } from "../../../packages/sagaz/src/testing/fake-clock.ts";
import { SeededChance } from "../../../packages/sagaz/src/testing/seeded-chance.ts";
import { drawFaults } from "../../../packages/sagaz/src/testing/simulator/faults.ts";
import { History } from "../../../packages/sagaz/src/testing/simulator/history.ts";
import { WatchedStorage } from "../../../packages/sagaz/src/testing/simulator/watched-storage.ts";
import { liveOut } from "../live-out.ts";
import type { Machine } from "../machine.ts";
import type { Outcome } from "../live-out.ts";
import { Trouble } from "../trouble.ts";
import { CommandLaws } from "./command-laws.ts";
import { CommandLedger } from "./command-ledger.ts";
import { AnsweringProcess, AskingProcess } from "./command-process.ts";
import { commandTopic, drawCommandSagas } from "./command-sagas.ts";

/** Of each kind. */
const processesMax = 3;
const sagasMax = 6;
/** Time that sagas may need to end or to wait for a person once the faults are over, in milliseconds of the world's clock. */
const restMsMax = 200_000;
/** How often people look after what waits for them, once all has arrived, before a saga that does not end is held against the engine. */
const roundsMax = 12;
/** In this time all is tried again that a handler failed at, and nobody waits for. */
const afterMs = 8_000;

/** Runs the world of commands of one seed: processes with sagas ask those of a participant, and both die. */
export function runCommandSeed(seed: number): Promise<Outcome> {
  const world = new CommandWorld(seed);
  return liveOut({ seed, history: world.history }, () => world.live());
}

type Ask = (sagas: Sagas, reason: Reason) => Promise<unknown>;

class CommandWorld {
  readonly clock = new FakeClock();
  readonly history = new History(this.clock);
  readonly #chance: SeededChance;
  readonly #sagas = new WatchedStorage(this.clock, this.history);
  readonly #workshop = new WatchedStorage(this.clock, this.history);
  readonly #ledger: CommandLedger;
  readonly #laws: CommandLaws;
  readonly #definitions: readonly SagaDefinition[];
  readonly #storages: { readonly asking: SagaStorage; readonly answering: SagaStorage };
  readonly #trouble: Trouble;
  readonly #asking: AskingProcess[] = [];
  readonly #answering: AnsweringProcess[] = [];
  readonly #declined = new Map<string, number>();
  /** How often a message is lost, and how often it comes again under another id, after up to so long. */
  readonly #losses: number;
  readonly #copies: number;
  readonly #lateMs: number;
  /** How often the broker refuses a command, and whether it begins anew each time. */
  readonly #refusals: number;
  /** Messages that are still to come again. */
  #onTheWay = 0;
  #isChaos = true;
  #started = 0;
  #asked = 0;

  constructor(seed: number) {
    this.#chance = new SeededChance(seed);
    const { history, clock } = this;
    const chance = this.#chance;
    const isNormal = chance.happens(0.15);
    this.#losses = isNormal ? 0 : chance.pick([0, 0, 0.1, 0.3] as const);
    this.#copies = isNormal ? 0 : chance.pick([0, 0.1, 0.4] as const);
    this.#lateMs = chance.pick([2_000, 10_000, 30_000] as const);
    this.#refusals = isNormal ? 0 : chance.pick([0, 0.3, 0.9] as const);
    this.#ledger = new CommandLedger(history, (sagaId, step) => this.#laws.judgeOrder(sagaId, step));
    this.#definitions = drawCommandSagas(chance.fork(), ({ sagaId, step }) =>
      this.#ledger.verify(sagaId, step),
    );
    this.#laws = new CommandLaws({
      history,
      watched: this.#sagas,
      ledger: this.#ledger,
      definitions: this.#definitions,
    });
    this.#storages = {
      asking: this.#laws.watch(this.#sagas.storage),
      answering: this.#ledger.watch(this.#workshop.storage),
    };
    this.#trouble = new Trouble({ clock, history, chance, faults: drawFaults(chance.fork()), isNormal });
  }

  async live(): Promise<void> {
    await this.#trouble.server.start();
    const chance = this.#chance;
    for (let count = 1 + chance.below(processesMax); count > 0; count--) this.#addAsking();
    for (let count = 1 + chance.below(processesMax); count > 0; count--) this.#addAnswering();
    const until = this.clock.monotonic() + chance.pick([2_000, 10_000, 30_000] as const);
    const everyMs = this.#trouble.isNormal ? 100 : chance.pick([200, 1_000, 3_000] as const);
    const asksOften = chance.pick([0, 0.1, 0.4] as const);
    while (this.clock.monotonic() < until) {
      if (chance.happens(0.3)) this.#strike();
      if (chance.happens(0.5)) this.#startSaga();
      if (chance.happens(asksOften)) this.#disturb();
      if (chance.happens(0.2)) this.#retryParked();
      if (chance.happens(0.1)) await this.#redrive();
      await this.clock.advance(1 + chance.below(everyMs * 2));
    }
    await this.#rest();
    this.#laws.judgeEnd();
    await this.#laws.judgeLetters();
  }

  // Machines, and what goes wrong with them and between them.

  #addAsking(): AskingProcess {
    const { asking: storage } = this.#storages;
    const name = `asking ${this.#asking.length + 1}`;
    const process = new AskingProcess({ ...this.#parts(name), storage, definitions: this.#definitions });
    this.#asking.push(process);
    process.start();
    return process;
  }

  #addAnswering(): AnsweringProcess {
    const { answering: storage } = this.#storages;
    const name = `answering ${this.#answering.length + 1}`;
    const around = { ledger: this.#ledger, declined: this.#declined };
    const process = new AnsweringProcess({ ...this.#parts(name), storage, ...around });
    this.#answering.push(process);
    process.start();
    return process;
  }

  #parts(name: string) {
    return {
      name,
      ...this.#trouble.lines,
      chance: this.#chance.fork(),
      refuses: (message: BrokerMessage) => this.#refuses(message),
      onAccepted: (message: BrokerMessage) => this.#ledger.take(message),
      loses: (message: BrokerMessage) => this.#loses(message),
    };
  }

  #strike(): void {
    const chance = this.#chance;
    const isAsking = chance.happens(0.5);
    const [first, ...others] = up<Machine>(isAsking ? this.#asking : this.#answering);
    if (first && (others.length + 1 === processesMax || chance.happens(0.7)))
      return this.#trouble.strike(chance.pick([first, ...others]));
    if (isAsking) this.#addAsking();
    else this.#addAnswering();
  }

  #refuses({ topic }: BrokerMessage): boolean {
    return this.#isChaos && topic === commandTopic && this.#chance.happens(this.#refusals);
  }

  /** What the broker promises not to do, what comes when an inbox has forgotten it: late, and as if it were new. */
  #loses(message: BrokerMessage): boolean {
    const chance = this.#chance;
    if (!this.#isChaos) return false;
    if (chance.happens(this.#copies)) {
      const id = `${message.headers["ce_id"] ?? ""}-again`;
      this.#onTheWay += 1;
      this.clock.setTimer(chance.below(this.#lateMs), () => this.#bringLate(message, id));
    }
    if (!chance.happens(this.#losses)) return false;
    this.history.saw("lost messages");
    this.history.note(`${message.topic}: ${message.headers["ce_id"] ?? ""} is lost`);
    return true;
  }

  #bringLate(message: BrokerMessage, id: string): void {
    this.#onTheWay -= 1;
    this.history.saw("late messages");
    this.history.note(`${message.topic}: ${id} comes`);
    void this.#trouble.server.publish([{ ...message, headers: { ...message.headers, ce_id: id } }]);
  }

  // What people do.

  #startSaga(): void {
    const [first, ...others] = up(this.#asking).filter(({ isHalted }) => !isHalted);
    const [definition, ...more] = this.#definitions;
    if (!first || !definition || this.#started >= sagasMax) return;
    this.#started += 1;
    const { name } = this.#chance.pick([definition, ...more]);
    const { sagas } = this.#chance.pick([first, ...others]).orchestrator;
    this.#ask(`start ${name}`, sagas.start(name, null));
  }

  /** Somebody wants a saga to stop, to wait, to go on, or to be tried again. */
  #disturb(): void {
    const [first, ...others] = this.#sagas.rows;
    if (!first) return;
    const { sagaId } = this.#chance.pick([first, ...others]);
    const requests = ["cancel", "cancel", "pause", "resume", "retry"] as const;
    this.#request(sagaId, this.#chance.pick(requests));
  }

  /** Somebody sends out again whatever was given up, without a thought. */
  async #redrive(): Promise<void> {
    const letters = new DeadLetters({ storage: this.#sagas.storage });
    const ids = (await letters.list()).letters.map(({ id }) => id);
    this.history.note(`redriven: ${(await letters.redrive(ids, { actor: "ann" })).join() || "nothing"}`);
  }

  #retryParked(): void {
    for (const { sagaId, status } of this.#sagas.rows)
      if (status === "parked") this.#request(sagaId, "retry");
  }

  #request(sagaId: string, kind: "cancel" | "pause" | "resume" | "retry"): void {
    const ask: Record<typeof kind, Ask> = {
      cancel: (sagas, reason) => sagas.cancel(sagaId, reason),
      pause: (sagas, reason) => sagas.pause(sagaId, reason),
      resume: (sagas, reason) => sagas.resume(sagaId, reason),
      retry: (sagas, reason) => sagas.retry(sagaId, reason),
    };
    this.#send(`${kind} ${sagaId}`, ask[kind]);
  }

  #send(what: string, ask: Ask): void {
    const [process] = up(this.#asking).filter(({ isHalted }) => !isHalted);
    if (!process) return;
    this.#asked += 1;
    this.#ask(what, ask(process.orchestrator.sagas, { actor: "ann", reason: `${what} ${this.#asked}` }));
  }

  #ask(what: string, request: Promise<unknown>): void {
    this.history.note(`a client asks: ${what}`);
    request.then(
      () => this.history.note(`a client hears: ${what}: done`),
      (error: unknown) => this.history.note(`a client hears: ${what}: ${String(error)}`),
    );
  }

  // How it ends.

  async #rest(): Promise<void> {
    this.#isChaos = false;
    this.#trouble.end();
    await this.#redrive();
    for (const process of [...up(this.#asking), ...up(this.#answering)]) process.goOn();
    this.#addAsking();
    this.#addAnswering();
    let arrivedAt = this.clock.monotonic() + afterMs;
    for (let rounds = 0; rounds < roundsMax;) {
      await this.#untilQuiet();
      const waiting = this.#sagas.rows.filter(({ status, paused }) => status === "parked" || paused);
      if (waiting.length === 0) break;
      this.history.saw("parks", waiting.length);
      if (this.#onTheWay > 0) arrivedAt = this.clock.monotonic() + afterMs;
      const hasArrived = this.clock.monotonic() > arrivedAt;
      if (hasArrived) rounds += 1;
      for (const { sagaId, paused } of waiting) this.#tidyUp(sagaId, { paused, hasArrived });
      if (!hasArrived) await this.clock.advance(2_000);
    }
    while (this.#onTheWay > 0) await this.clock.advance(1_000);
    await this.clock.advance(afterMs);
    await this.#untilQuiet();
  }

  /** A pivot is not tried again on the way back: people look whether it was done, once nothing is on its way any more. */
  #tidyUp(sagaId: string, { paused, hasArrived }: { paused: boolean; hasArrived: boolean }): void {
    const [step] = hasArrived ? this.#laws.doubtful(sagaId) : [];
    if (paused) this.#request(sagaId, "resume");
    else if (step === undefined) this.#request(sagaId, "retry");
    else {
      const verdict = this.#ledger.verify(sagaId, step);
      this.#send(`resolve ${sagaId}`, (sagas, reason) =>
        sagas.resolve(sagaId, step, { ...verdict, ...reason }),
      );
    }
  }

  async #untilQuiet(): Promise<void> {
    const until = this.clock.monotonic() + restMsMax;
    do {
      // One that could not start before the faults ended, gives up only now.
      if (up(this.#asking).length === 0) this.#addAsking();
      if (up(this.#answering).length === 0) this.#addAnswering();
      await this.clock.advance(1_000);
    } while (this.clock.monotonic() < until && !(await this.#isQuiet()));
  }

  async #isQuiet(): Promise<boolean> {
    const { asking, answering } = this.#storages;
    const backlogs = [await asking.outbox.backlog(), await answering.outbox.backlog()];
    return this.#sagas.isQuiet() && backlogs.every(({ pending }) => pending === 0);
  }
}

function up<Kind extends Machine>(machines: readonly Kind[]): readonly Kind[] {
  return machines.filter(({ isUp }) => isUp);
}
