import { mustBeUndoneBefore } from "../../../packages/sagaz/src/testing/simulator/attempt-laws.ts";
import type { CommandStep, SagaDefinition } from "../../../packages/sagaz/src/core/definition/definition.ts";
import type { ReplyOutcome } from "../../../packages/sagaz/src/core/participant/messages.ts";
import { evolve, fold } from "../../../packages/sagaz/src/core/saga/evolve.ts";
import type { Direction, JournalEntry, ParkReason } from "../../../packages/sagaz/src/core/saga/events.ts";
import { findStep } from "../../../packages/sagaz/src/core/saga/state.ts";
import type { SagaState } from "../../../packages/sagaz/src/core/saga/state.ts";
import { isEnded } from "../../../packages/sagaz/src/core/saga/status.ts";
import type { SagaStorage } from "../../../packages/sagaz/src/ports/storage.ts";
import { fromStored } from "../../../packages/sagaz/src/runtime/entry.ts";
import type { History } from "../../../packages/sagaz/src/testing/simulator/history.ts";
import type { WatchedStorage } from "../../../packages/sagaz/src/testing/simulator/watched-storage.ts";
import type { CommandLedger } from "./command-ledger.ts";

/** Why a saga with commands may wait for a person. */
const parkReasons = new Set<ParkReason>([
  "compensation_failed",
  "pivot_unknown",
  "outcome_unknown",
  "step_failed_after_pivot",
  "saga_timeout_after_pivot",
  "reply_timeout",
  "crash_loop",
]);

interface Demanded {
  readonly direction: Direction;
  readonly outcomes: readonly ReplyOutcome[];
}

/** What a participant has to have answered before an event is on record. */
const answersDemanded: { readonly [type in JournalEntry["type"]]?: Demanded } = {
  step_done: { direction: "do", outcomes: ["done"] },
  late_effect: { direction: "do", outcomes: ["done"] },
  step_failed: { direction: "do", outcomes: ["failed", "refused"] },
  step_compensated: { direction: "undo", outcomes: ["done"] },
};

/** What the laws look at. */
export interface CommandLawsParts {
  readonly history: History;
  readonly watched: WatchedStorage;
  readonly ledger: CommandLedger;
  readonly definitions: readonly SagaDefinition[];
}

/** The laws about commands: what is on record is held against what participants answered and did. */
export class CommandLaws {
  readonly #parts: CommandLawsParts;
  readonly #states = new Map<string, SagaState>();

  constructor(parts: CommandLawsParts) {
    this.#parts = parts;
  }

  /** A storage of sagas whose journals are judged as they grow. */
  watch(storage: SagaStorage): SagaStorage {
    const { journal } = storage;
    const append: typeof journal.append = (batch) => {
      const answer = journal.append(batch); // done when this returns; the promise only tells
      for (const { sagaId } of batch.entries) this.#judgeNews(sagaId);
      return answer;
    };
    return { ...storage, journal: { ...journal, append } };
  }

  #judgeNews(sagaId: string): void {
    const entries = this.#parts.watched.journal(sagaId).map(fromStored);
    const [first, ...others] = entries;
    if (!first) return;
    const state = this.#states.get(sagaId) ?? fold(sagaId, [first]);
    this.#states.set(sagaId, state);
    for (const entry of others.slice(state.seq - 1)) {
      this.#judge(state, entry);
      evolve(state, entry);
    }
  }

  #judge(state: SagaState, entry: JournalEntry): void {
    const due = answersDemanded[entry.type];
    // What somebody has found out who looked, nobody needs to have answered.
    const isFound = "verified" in entry.data || "by" in entry.data;
    if (due && "step" in entry && !isFound) this.#mustBeAnswered(state, entry.step, due);
    if (entry.type === "saga_compensated") this.#isGone(state, entry.data.exceptions);
    if (entry.type === "saga_parked" && !parkReasons.has(entry.data.reason))
      this.#parts.history.breach("a saga is parked for a reason that it can have", entry.data.reason);
  }

  #mustBeAnswered(state: SagaState, step: string, { direction, outcomes }: Demanded): void {
    const { history, ledger } = this.#parts;
    const { sagaId } = state;
    if (!this.#commands(state).some(({ name }) => name === step)) return;
    const { actionRound = 0, undoRound = 0 } = findStep(state, step) ?? {};
    const round = direction === "do" ? actionRound : undoRound;
    if (ledger.hasAnswered({ sagaId, step, direction, round }, outcomes)) return;
    const what = `${direction} ${sagaId}/${step} round ${round}: nobody answered ${outcomes.join(" or ")}`;
    history.breach("what is on record was answered, and in its round", what);
  }

  #commands(state: SagaState): readonly CommandStep[] {
    return this.#definitionOf(state)?.graph.commands ?? [];
  }

  #definitionOf({ started }: SagaState): SagaDefinition | undefined {
    return this.#parts.definitions.find(({ name }) => name === started.name);
  }

  /** What can be undone is, and so is a pivot not done: at this moment, and from now on. */
  #isGone(state: SagaState, exceptions: readonly string[]): void {
    const { history, ledger } = this.#parts;
    const { sagaId } = state;
    for (const { name, role } of this.#commands(state)) {
      if (exceptions.includes(name) || role === "plain" || role === "retriable") continue;
      if (ledger.find(sagaId, name)) history.breach("no effect stays without its undo", `${sagaId}/${name}`);
      ledger.forbid(sagaId, name, "it is recorded as compensated");
    }
  }

  /** Steps of a saga that goes back, of which a person has to say whether they were done: what has no undo to forbid it. */
  doubtful(sagaId: string): readonly string[] {
    const state = this.#states.get(sagaId);
    if (!state?.failure) return [];
    return [...state.blocked].flatMap(([step, reason]) => (reason === "pivot_unknown" ? [step] : []));
  }

  /** When something is undone, what could see it is undone already. */
  judgeOrder(sagaId: string, step: string): void {
    const { history, ledger } = this.#parts;
    const state = this.#states.get(sagaId);
    const definition = state && this.#definitionOf(state);
    const undone = definition?.graph.byName.get(step);
    if (!definition || !undone) return;
    for (const name of mustBeUndoneBefore(definition, undone)) {
      if (state.exceptions.includes(name) || !ledger.find(sagaId, name)) continue;
      if (findStep(state, name)?.status === "compensation_failed") continue;
      history.breach(
        "undo follows the reverse of the dependency order",
        `${sagaId}: ${step} was undone before ${name}`,
      );
    }
  }

  /** Judges a world at rest, in which people have seen to all that waited for them. */
  judgeEnd(): void {
    const { history } = this.#parts;
    for (const state of this.#states.values()) {
      const { sagaId, status } = state;
      if (!isEnded(status)) {
        const why = state.parked ? `${state.parked.reason} (${state.parked.step ?? "as a whole"})` : "";
        history.breach("every saga ends once people have seen to it", `${sagaId} is ${status} ${why}`);
      }
      if (status === "compensated") history.saw("compensated");
      if (status === "completed") this.#judgeCompleted(state);
    }
  }

  /** What no broker would have was made known to its saga, so that nobody else has to see to it. */
  async judgeLetters(): Promise<void> {
    const { history, watched } = this.#parts;
    const { letters } = await watched.storage.deadLetters.list({ consumerName: null, limit: 1_000 });
    history.saw("commands given up", letters.length);
    for (const { id, redrivenBy, event } of letters) {
      if (redrivenBy === "saga") continue;
      history.breach("a command that is given up is for its saga to ask again", `${id}: ${event.eventId}`);
    }
  }

  #judgeCompleted(state: SagaState): void {
    const { history, ledger } = this.#parts;
    history.saw("completed");
    for (const { name } of this.#commands(state)) {
      const [deed, step] = [ledger.find(state.sagaId, name), findStep(state, name)];
      if (!deed) history.breach("what a completed saga asked for is done", `${state.sagaId}/${name}`);
      else if (JSON.stringify(deed.result) !== JSON.stringify(step?.result))
        history.breach("what is recorded is what was answered", `${state.sagaId}/${name}`);
    }
  }
}
