import { isSagaError } from "../../packages/sagaz/src/core/errors.ts";
import { actionKeyOf } from "../../packages/sagaz/src/core/decide/task.ts";
import { fold } from "../../packages/sagaz/src/core/saga/evolve.ts";
import { findStep } from "../../packages/sagaz/src/core/saga/state.ts";
import type { SagaState } from "../../packages/sagaz/src/core/saga/state.ts";
import { isEnded } from "../../packages/sagaz/src/core/saga/status.ts";
import { fromStored } from "../../packages/sagaz/src/runtime/entry.ts";
import type { Reason, Sagas } from "../../packages/sagaz/src/runtime/sagas.ts";
import type { SeededChance } from "../../packages/sagaz/src/testing/seeded-chance.ts";
import type { Simulation } from "../../packages/sagaz/src/testing/simulator/simulation.ts";
import { short } from "../../packages/sagaz/src/testing/simulator/watched-storage.ts";
import type { Participants } from "./participants.ts";

/** A request that somebody made of a saga, and what became of it. */
export interface RequestNote {
  readonly kind: string;
  readonly sagaId: string;
  /** Found again in the history: its reason, or its signal id. */
  readonly mark: string;
  outcome: "unknown" | "accepted" | "refused";
}

type Ask = (sagas: Sagas, reason: Reason) => Promise<unknown>;

/** People who ask for things at random, but tell the truth about what they found. */
export class Operator {
  readonly requests: RequestNote[] = [];
  readonly #simulation: Simulation;
  readonly #participants: Participants;
  readonly #chance: SeededChance;
  /** Sagas about which a request is under way: nobody else touches what a person looks into. */
  readonly #busy = new Set<string>();
  #count = 0;

  constructor(simulation: Simulation, participants: Participants) {
    this.#simulation = simulation;
    this.#participants = participants;
    this.#chance = simulation.chance.fork();
  }

  /** Asks one thing of any saga. */
  disturb(): void {
    const { rows } = this.#simulation.storage;
    const [first] = rows;
    if (!first) return;
    const { sagaId } = this.#chance.pick([first, ...rows.slice(1)]);
    this.ask(sagaId);
  }

  /** Looks after all sagas that wait for a person. */
  tidyUp(): void {
    for (const row of this.#simulation.storage.rows) {
      if (row.paused) this.#send(row.sagaId, "resume", (sagas, reason) => sagas.resume(row.sagaId, reason));
      else if (row.status === "parked") this.ask(row.sagaId);
    }
  }

  /** Asks one thing of this saga. */
  ask(sagaId: string): void {
    const state = this.#state(sagaId);
    if (this.#chance.happens(0.35)) return this.#signal(sagaId);
    if (state.status === "parked") return this.#unpark(sagaId, state);
    if (isEnded(state.status)) return this.#afterwards(sagaId, state);
    const asks: [string, Ask][] = [
      ["cancel", (sagas, reason) => sagas.cancel(sagaId, reason)],
      ["pause", (sagas, reason) => sagas.pause(sagaId, reason)],
      ["resume", (sagas, reason) => sagas.resume(sagaId, reason)],
      ["retry", (sagas, reason) => sagas.retry(sagaId, reason)],
    ];
    const [kind, ask] = this.#chance.pick(asks as [[string, Ask], ...[string, Ask][]]);
    this.#send(sagaId, kind, ask);
  }

  #state(sagaId: string): SagaState {
    return fold(sagaId, this.#simulation.storage.journal(sagaId).map(fromStored));
  }

  /** Some signals are sent twice, as a webhook would that was not answered. */
  #signal(sagaId: string): void {
    const mark = `signal-${++this.#count}`;
    const times = this.#chance.pick([1, 1, 2] as const);
    for (let i = 0; i < times; i++) {
      this.#send(sagaId, "signal", (sagas) => sagas.signal(sagaId, "go", { mark }, { signalId: mark }), mark);
    }
  }

  #unpark(sagaId: string, state: SagaState): void {
    const [step] = state.blocked.keys();
    const pick = this.#chance.next();
    if (pick < 0.4 || step === undefined)
      return this.#send(sagaId, "retry", (sagas, reason) => sagas.retry(sagaId, reason));
    if (pick < 0.5)
      return this.#send(sagaId, "force_close", (sagas, reason) => sagas.forceClose(sagaId, reason));
    if (pick < 0.65) return this.#send(sagaId, "skip", (sagas, reason) => sagas.skip(sagaId, step, reason));
    if (pick < 0.8) return this.#send(sagaId, "cancel", (sagas, reason) => sagas.cancel(sagaId, reason));
    this.#resolve(sagaId, { state, step });
  }

  /** A person looks what really happened, sees to it that it stays so, and says it. */
  #resolve(sagaId: string, { state, step }: { state: SagaState; step: string }): void {
    if (this.#busy.has(sagaId)) return;
    const key = actionKeyOf(state, step);
    const answer = this.#settle({ sagaId, step, key, state });
    const ask: Ask = (sagas, reason) => sagas.resolve(sagaId, step, { ...answer, ...reason });
    this.#send(sagaId, "resolve", ask);
  }

  #settle({ sagaId, step, key, state }: { sagaId: string; step: string; key: string; state: SagaState }): {
    outcome: "done" | "not_done";
    result?: unknown;
  } {
    if (state.direction === "backward") {
      this.#participants.undoByHand(key);
      return { outcome: "done" };
    }
    const present = this.#participants.isPresent(key);
    const failed = findStep(state, step)?.status === "failed";
    if (present || failed || this.#chance.happens(0.5))
      return {
        outcome: "done",
        result: this.#participants.doByHand({ sagaId, step, idempotencyKey: key }),
      };
    this.#participants.undoByHand(key);
    return { outcome: "not_done" };
  }

  #afterwards(sagaId: string, state: SagaState): void {
    if (this.#chance.happens(0.6)) {
      this.#send(sagaId, "cancel", (sagas, reason) => sagas.cancel(sagaId, reason));
      return;
    }
    const steps = [...state.steps.keys()];
    const fromStep = steps[this.#chance.below(Math.max(1, steps.length))];
    if (fromStep === undefined) return;
    this.#send(sagaId, "fork", (sagas, reason) => sagas.fork(sagaId, { fromStep, ...reason }));
  }

  #send(sagaId: string, kind: string, ask: Ask, mark = `request-${++this.#count}`): void {
    const { history, processes } = this.#simulation;
    const process = processes.find(({ isHalted }) => !isHalted);
    if (!process || this.#busy.has(sagaId)) return;
    const note: RequestNote = { kind, sagaId, mark, outcome: "unknown" };
    this.requests.push(note);
    history.saw("requests");
    history.note(`somebody asks ${kind} (${mark}) of ${short(sagaId)}`);
    if (kind === "resolve") this.#busy.add(sagaId);
    ask(process.orchestrator.sagas, { reason: mark, actor: "operator" }).then(
      () => this.#heard(note, "accepted"),
      (error: unknown) => {
        const refused = isSagaError(error) && REFUSALS.has(error.code);
        if (refused) history.saw("refusals");
        if (isSagaError(error, "SAGAZ_BUG") || !isSagaError(error))
          history.breach("a request is carried out or refused with a reason", `${kind}: ${String(error)}`);
        this.#heard(note, refused ? "refused" : "unknown", String(error));
      },
    );
  }

  #heard(note: RequestNote, outcome: RequestNote["outcome"], why = ""): void {
    note.outcome = outcome;
    this.#busy.delete(note.sagaId);
    this.#simulation.history.note(`${note.kind} (${note.mark}) is ${outcome} ${why}`);
  }
}

/** What an owner says no with; other errors mean that nobody knows. */
const REFUSALS = new Set<string>([
  "SAGAZ_UNKNOWN_SIGNAL",
  "SAGAZ_SIGNALS_FULL",
  "SAGAZ_SAGA_ENDED",
  "SAGAZ_PIVOT_PASSED",
  "SAGAZ_FORKED",
  "SAGAZ_NOT_FORKABLE",
  "SAGAZ_NOT_PARKED",
  "SAGAZ_STEP_NEEDED",
  "SAGAZ_STEP_NOT_BLOCKED",
  "SAGAZ_UNKNOWN_STEP",
]);
