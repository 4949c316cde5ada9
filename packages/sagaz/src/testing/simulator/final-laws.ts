import { fold } from "../../core/saga/evolve.ts";
import type { SagaState } from "../../core/saga/state.ts";
import { isEnded } from "../../core/saga/status.ts";
import type { SagaStatus } from "../../core/saga/status.ts";
import type { SagaRow } from "../../ports/storage.ts";
import { fromStored, toRowChange } from "../../runtime/entry.ts";
import type { History, Sight } from "./history.ts";
import type { WatchedStorage } from "./watched-storage.ts";

/** A start that a client of the simulation asked for. */
export interface StartNote {
  readonly key: string | undefined;
  /** Undefined while nobody answered. */
  sagaId: string | undefined;
  isNew: boolean;
  /** In a transaction of the client's own: how that ended. */
  readonly tx: { state: "open" | "committed" | "rolled back" } | undefined;
}

/** What can be judged when a simulation has come to rest. */
export interface Rest {
  readonly storage: WatchedStorage;
  readonly history: History;
  readonly starts: readonly StartNote[];
}

/** Judges a simulation that has come to rest by every law that holds for any saga. */
export function judgeRest(rest: Rest): void {
  for (const law of [everySagaRests, acknowledgedStartsExist, oneSagaPerKey, mailIsAnswered]) law(rest);
  for (const row of rest.storage.rows) {
    wholeJournal(row, rest);
    const state = rebuild(row, rest);
    if (!state) continue;
    rowTellsTheJournal(row, state, rest);
    count(row, state, rest);
  }
}

/** Every saga ends, or is parked or paused, or waits for a signal or for a child that does. */
function everySagaRests({ storage, history }: Rest): void {
  for (const row of storage.rows) {
    const rests =
      isEnded(row.status) ||
      row.status === "parked" ||
      row.paused ||
      row.waitingFor === "signal" ||
      (row.waitingFor === "child" && hasRestingChild(row, storage));
    if (!rests)
      history.breach(
        "every saga ends, or is parked or paused",
        `${row.sagaId} is ${row.status}, waits for ${row.waitingFor ?? "nothing"}`,
      );
  }
}

function hasRestingChild(parent: SagaRow, storage: WatchedStorage): boolean {
  return storage.rows.some((row) => row.parentId === parent.sagaId && !isEnded(row.status));
}

function acknowledgedStartsExist({ storage, history, starts }: Rest): void {
  for (const { sagaId, tx, isNew } of starts) {
    if (sagaId === undefined) continue;
    const exists = storage.row(sagaId) !== undefined;
    if (tx?.state === "rolled back") {
      if (exists && isNew) history.breach("a start in a transaction that was rolled back never was", sagaId);
    } else if (tx?.state !== "open" && !exists) history.breach("no acknowledged start is lost", sagaId);
  }
}

function oneSagaPerKey({ history, starts }: Rest): void {
  const byKey = new Map<string, StartNote>();
  for (const start of starts) {
    if (start.key === undefined || start.sagaId === undefined || start.tx?.state === "rolled back") continue;
    const first = byKey.get(start.key);
    if (!first) byKey.set(start.key, start);
    else {
      history.saw("duplicate starts");
      if (first.sagaId !== start.sagaId)
        history.breach("one key starts one saga", `${start.key}: ${first.sagaId}, ${start.sagaId}`);
    }
  }
}

function mailIsAnswered({ storage, history }: Rest): void {
  for (const mail of storage.unread()) history.breach("every request is answered", mail);
}

function wholeJournal({ sagaId }: SagaRow, { storage, history }: Rest): void {
  let at = 0;
  storage.journal(sagaId).forEach((event, i) => {
    if (event.seq !== i + 1)
      history.breach("a journal counts without gaps", `${sagaId}: ${event.seq} at place ${i + 1}`);
    if (event.at < at) history.breach("time in a journal never goes back", `${sagaId}: event ${event.seq}`);
    at = event.at;
  });
}

function rebuild({ sagaId }: SagaRow, { storage, history }: Rest): SagaState | undefined {
  try {
    return fold(sagaId, storage.journal(sagaId).map(fromStored));
  } catch (error) {
    history.breach("a journal can be read back", `${sagaId}: ${String(error)}`);
    return undefined;
  }
}

function rowTellsTheJournal(row: SagaRow, state: SagaState, { history }: Rest): void {
  const {
    finished,
    waitingFor: _waits,
    release: _release,
    ...told
  } = toRowChange(state, {
    waitingFor: null,
    release: undefined,
  });
  const expected = { ...told, finishedAt: finished ? (state.finishedAt ?? null) : null };
  for (const [column, value] of Object.entries(expected)) {
    const stored = row[column as keyof SagaRow];
    if (stored !== value)
      history.breach(
        "a row is what its journal says",
        `${row.sagaId}: ${column} is ${JSON.stringify(stored)}, not ${JSON.stringify(value)}`,
      );
  }
}

const sightOf: Partial<Record<SagaStatus, Sight>> = {
  parked: "parks",
  completed: "completed",
  compensated: "compensated",
  compensated_with_exceptions: "exceptions",
  forced_closed: "force closed",
};

function count(row: SagaRow, state: SagaState, { history }: Rest): void {
  history.saw("sagas");
  if (row.parkedReason === "stuck") history.breach("no saga gets stuck", `${row.sagaId}: ${row.error}`);
  const sight = sightOf[row.status];
  if (sight) history.saw(sight);
  for (const step of state.steps.values()) {
    for (const one of [step, ...step.itemStates]) if (one?.status === "compensated") history.saw("undos");
  }
}
