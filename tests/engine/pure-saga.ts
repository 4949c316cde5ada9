import { adopt } from "../../packages/sagaz/src/core/decide/adopt.ts";
import { next } from "../../packages/sagaz/src/core/decide/next.ts";
import type { Outcome } from "../../packages/sagaz/src/core/decide/outcome.ts";
import { answer } from "../../packages/sagaz/src/core/decide/requests.ts";
import type { SagaRequest } from "../../packages/sagaz/src/core/decide/requests.ts";
import { settle } from "../../packages/sagaz/src/core/decide/settle.ts";
import { newLive, taskId } from "../../packages/sagaz/src/core/decide/view.ts";
import type { Move, Task, View } from "../../packages/sagaz/src/core/decide/view.ts";
import type { SagaDefinition } from "../../packages/sagaz/src/core/definition/definition.ts";
import { evolve, fold } from "../../packages/sagaz/src/core/saga/evolve.ts";
import type { JournalEntry, SagaEvent, SagaStarted } from "../../packages/sagaz/src/core/saga/events.ts";

/** The pure core by itself: a saga whose events are recorded at once, and whose tasks end when a test says so. */
export class PureSaga {
  readonly definition: SagaDefinition;
  readonly journal: JournalEntry[] = [];
  readonly state;
  readonly live = newLive(1);
  now = 1_000;

  constructor(definition: SagaDefinition, started: Partial<SagaStarted> = {}) {
    const { name, version, graphHash, pivot } = definition;
    this.definition = definition;
    const data: SagaStarted = {
      name,
      version,
      graphHash,
      ...(pivot === undefined ? {} : { pivot }),
      input: null,
      headers: {},
      admitted: true,
      ...started,
    };
    const first: JournalEntry = { type: "saga_started", data, seq: 1, at: this.now };
    this.journal.push(first);
    this.state = fold("01890a5d-ac96-774b-bcce-b302099a8057", [first]);
  }

  get view(): View {
    const { definition, state, live, now } = this;
    return { definition, state, live, now, luck: 0.5, payloadBytesMax: 1_000 };
  }

  /** Records events, with the tries that no event has told yet. */
  apply(...events: readonly SagaEvent[]): this {
    for (const event of events) {
      const tries = this.live.tries.size > 0 ? { tries: Object.fromEntries(this.live.tries) } : {};
      this.live.tries.clear();
      const data = { ...event.data, ...tries };
      const entry = { ...event, data, seq: this.state.seq + 1, at: this.now } as JournalEntry;
      this.journal.push(entry);
      evolve(this.state, entry);
      if ("step" in entry) this.live.retryAt.delete(entry.step);
    }
    this.live.ackedSeq = this.state.seq;
    return this;
  }

  /** Does all that the core decides, until it wants nothing more; its tasks are then in flight. */
  turn(): Move {
    for (;;) {
      const move = next(this.view);
      if (move.events.length === 0) {
        for (const task of move.start)
          this.live.tasks.set(taskId(task), {
            task,
            startedAt: this.now,
            abortedAt: undefined,
            abortedFor: undefined,
          });
        return move;
      }
      this.apply(...move.events);
    }
  }

  /** Ends a task in flight, and goes on. */
  end(key: string, outcome: Outcome): Move {
    const running = this.live.tasks.get(key);
    if (!running)
      throw new Error(`no task ${key} is in flight; there are ${[...this.live.tasks.keys()].join(", ")}`);
    this.live.tasks.delete(key);
    this.apply(...settle(this.view, running.task, outcome));
    return this.turn();
  }

  ask(request: SagaRequest): Move {
    this.apply(...answer(this.view, request));
    return this.turn();
  }

  /** The saga as another process finds it whose owner has died. */
  takenOver(): PureSaga {
    const saga = new PureSaga(this.definition);
    saga.now = this.now;
    saga.apply(...this.journal.slice(1));
    adopt(saga.view, { crashed: true });
    return saga;
  }

  get inFlight(): string[] {
    return [...this.live.tasks.keys()];
  }

  task(key: string): Task {
    const running = this.live.tasks.get(key);
    if (!running) throw new Error(`no task ${key} is in flight`);
    return running.task;
  }

  get types(): string[] {
    return this.journal.map((event) => ("step" in event ? `${event.type}(${event.step})` : event.type));
  }
}

export const done = (result?: unknown): Outcome => ({ type: "done", result });

export const failed = (message = "no", final = true): Outcome => ({
  type: "failed",
  error: { name: "Error", message, kind: final ? "business" : "error" },
  final,
});

export const unknown = (message = "?", final = false): Outcome => ({
  type: "unknown",
  error: { name: "Error", message, kind: "ambiguous" },
  final,
});
