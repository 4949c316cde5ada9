import type { OutboxEvent } from "../../../packages/sagaz/src/core/delivery/outbox-event.ts";
import type { BrokerMessage } from "../../../packages/sagaz/src/ports/broker.ts";
import type { DeadLetter } from "../../../packages/sagaz/src/ports/dead-letters.ts";
import type { SagaStorage } from "../../../packages/sagaz/src/ports/storage.ts";
import { Outbox } from "../../../packages/sagaz/src/runtime/delivery/outbox.ts";
import { FakeClock } from "../../../packages/sagaz/src/testing/fake-clock.ts";
import { SeededChance } from "../../../packages/sagaz/src/testing/seeded-chance.ts";
import { drawFaults } from "../../../packages/sagaz/src/testing/simulator/faults.ts";
import { History } from "../../../packages/sagaz/src/testing/simulator/history.ts";
import { WatchedStorage } from "../../../packages/sagaz/src/testing/simulator/watched-storage.ts";
import { liveOut } from "../live-out.ts";
import type { Outcome } from "../live-out.ts";
import { Trouble } from "../trouble.ts";
import { DeliveryLedger, hopelessType } from "./delivery-ledger.ts";
import { DeliveryProcess } from "./delivery-process.ts";
import { awkwardType, refusedType } from "./faulty-broker.ts";

const processesMax = 4;
const sagasMax = 6;
/** Time that a world may need to deliver everything once its faults are over, in milliseconds of its clock. */
const restMsMax = 200_000;
/** How often an awkward event is refused: less than what makes a relay give it up. */
const refusalsMax = 2;
/** Nothing more may come in this time, after everything was delivered. */
const afterMs = 5_000;

/** Of what kind events are: up to which share, which type. */
const types = [
  [0.07, refusedType],
  [0.14, hopelessType],
  [0.24, awkwardType],
] as const;

/** Runs the world of delivery of one seed: relays, consumers, publishers and sagas between one storage and one broker. */
export function runDeliverySeed(seed: number): Promise<Outcome> {
  const world = new DeliveryWorld(seed);
  return liveOut({ seed, history: world.history }, () => world.live());
}

class DeliveryWorld {
  readonly clock = new FakeClock();
  readonly history = new History(this.clock);
  readonly #chance: SeededChance;
  readonly #watched = new WatchedStorage(this.clock, this.history);
  readonly #ledger = new DeliveryLedger(this.history);
  readonly #storage: SagaStorage = this.#ledger.watch(this.#watched.storage);
  readonly #outbox: Outbox;
  /** Of awkward events, by id. */
  readonly #refusals = new Map<string, number>();
  readonly #open = new Set<() => void>();
  readonly #processes: DeliveryProcess[] = [];
  readonly #trouble: Trouble;
  #sagas = 0;
  #events = 0;

  constructor(seed: number) {
    this.#chance = new SeededChance(seed);
    const isNormal = this.#chance.happens(0.2);
    const faults = drawFaults(this.#chance.fork());
    const { clock, history } = this;
    this.#trouble = new Trouble({ clock, history, chance: this.#chance, faults, isNormal });
    const outboxChance = this.#chance.fork();
    this.#outbox = new Outbox({ storage: this.#storage, clock: this.clock, chance: outboxChance });
  }

  async live(): Promise<void> {
    await this.#trouble.server.start();
    const chance = this.#chance;
    for (let count = 1 + chance.below(processesMax); count > 0; count--) this.#addProcess();
    const until = this.clock.monotonic() + chance.pick([2_000, 5_000, 20_000] as const);
    const everyMs = this.#trouble.isNormal ? 100 : chance.pick([300, 1_000, 3_000] as const);
    while (this.clock.monotonic() < until) {
      if (chance.happens(0.4)) this.#strike();
      if (chance.happens(0.7)) await this.#transact();
      if (chance.happens(0.3)) this.#startSaga();
      await this.clock.advance(1 + chance.below(everyMs * 2));
    }
    await this.#rest();
    this.#ledger.judge(await this.#letters(), this.#trouble);
    this.#judgeSagas();
  }

  get #up(): readonly DeliveryProcess[] {
    return this.#processes.filter(({ isUp }) => isUp);
  }

  #addProcess(isWhole = false): DeliveryProcess {
    const process = new DeliveryProcess({
      name: `process ${this.#processes.length + 1}`,
      isWhole,
      storage: this.#storage,
      ...this.#trouble.lines,
      chance: this.#chance.fork(),
      refuses: (message) => this.#refuses(message),
      onAccepted: (message) => this.#ledger.take(message),
    });
    this.#processes.push(process);
    process.start();
    return process;
  }

  // What goes wrong.

  #refuses({ headers }: BrokerMessage): boolean {
    const { ce_type: type, ce_id: id = "" } = headers;
    if (type !== awkwardType) return type === refusedType;
    const refusals = this.#refusals.get(id) ?? 0;
    this.#refusals.set(id, refusals + 1);
    return refusals < refusalsMax;
  }

  #strike(): void {
    const chance = this.#chance;
    const [first, ...others] = this.#up;
    if (!first || (this.#up.length < processesMax && chance.happens(0.3))) return void this.#addProcess();
    this.#trouble.strike(chance.pick([first, ...others]));
  }

  // What is done.

  /** A transaction that writes events, and commits or not, a while later. */
  async #transact(): Promise<void> {
    const chance = this.#chance;
    const transaction = this.#watched.begin();
    const events = Array.from({ length: 1 + chance.below(4) }, () => this.#toEvent());
    await this.#outbox.add(transaction.tx, events);
    const commits = chance.happens(0.8);
    const end = () => {
      if (!this.#open.delete(end)) return;
      if (!commits) {
        this.history.saw("rollbacks");
        void transaction.rollback();
        return;
      }
      const committed = transaction.commit(); // done when this returns
      this.#ledger.commit(transaction.tx);
      void committed;
    };
    this.#open.add(end);
    this.clock.setTimer(chance.below(1_000), end);
  }

  #toEvent(): OutboxEvent {
    const chance = this.#chance;
    const pick = chance.next();
    const type = types.find(([share]) => pick < share)?.[1] ?? "good";
    this.#events += 1;
    return { topic: "orders", type, key: `order-${chance.below(4)}`, payload: this.#events };
  }

  #startSaga(): void {
    const [first, ...others] = this.#up.filter(({ isHalted }) => !isHalted);
    if (!first || this.#sagas >= sagasMax) return;
    this.#sagas += 1;
    this.#chance.pick([first, ...others]).startSaga();
  }

  // How it ends.

  async #rest(): Promise<void> {
    for (const end of this.#open) end();
    this.#trouble.end();
    for (const process of this.#up) process.goOn();
    this.#addProcess(true);
    const until = this.clock.monotonic() + restMsMax;
    while (!(await this.#isDelivered())) {
      if (this.clock.monotonic() >= until) break;
      // One that could not start before the faults ended, gives up only now.
      if (this.#up.length === 0) this.#addProcess(true);
      await this.clock.advance(500);
    }
    await this.clock.advance(afterMs);
  }

  async #isDelivered(): Promise<boolean> {
    const { pending } = await this.#storage.outbox.backlog();
    return pending === 0 && this.#watched.isQuiet() && this.#ledger.debts(await this.#letters()).length === 0;
  }

  async #letters(): Promise<readonly DeadLetter[]> {
    const { letters } = await this.#storage.deadLetters.list({ limit: 1_000 });
    return letters;
  }

  /** What a step published is there once for each step that is done, and for no other. */
  #judgeSagas(): void {
    for (const { sagaId } of this.#watched.rows) {
      const done = this.#watched
        .journal(sagaId)
        .flatMap(({ type, step }) => (type === "step_done" ? [step] : []));
      const published = [...this.#ledger.committed.values()].filter((event) => event.sagaId === sagaId);
      const types = published.map(({ type }) => type);
      if (types.join() !== done.join())
        this.history.breach("a step publishes if and only if it is done", `${done.join()} / ${types.join()}`);
    }
  }
}
