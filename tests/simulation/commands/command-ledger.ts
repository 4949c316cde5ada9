import type { SqlRunner, Verdict } from "../../../packages/sagaz/src/core/definition/context.ts";
import type { CommandMessage, ReplyMessage } from "../../../packages/sagaz/src/core/participant/messages.ts";
import { REPLY_TYPE } from "../../../packages/sagaz/src/core/participant/messages.ts";
import type { Direction } from "../../../packages/sagaz/src/core/saga/events.ts";
import type { BrokerMessage } from "../../../packages/sagaz/src/ports/broker.ts";
import type { SagaStorage } from "../../../packages/sagaz/src/ports/storage.ts";
import type { History } from "../../../packages/sagaz/src/testing/simulator/history.ts";

/** Something that was done for a step, where its participant lives. */
export interface Deed {
  readonly sagaId: string;
  readonly step: string;
  readonly result: { readonly n: number };
  isPresent: boolean;
}

/** A change that its transaction has not committed yet. */
interface Change {
  readonly sagaId: string;
  readonly step: string;
  readonly direction: Direction;
  readonly result: { readonly n: number };
}

/**
 * What took effect where participants live, and what they answered: told by their handlers, by what commits and by what
 * the broker took, so that neither a participant nor the engine judges itself.
 */
export class CommandLedger {
  readonly deeds = new Map<string, Deed>();
  readonly #history: History;
  readonly #onUndone: (sagaId: string, step: string) => void;
  readonly #byTx = new Map<SqlRunner, Change[]>();
  /** By saga, step, direction and round. */
  readonly #answers = new Map<string, Set<ReplyMessage["outcome"]>>();
  /** What may not take place any more, and why. */
  readonly #forbidden = new Map<string, string>();
  #count = 0;

  /** `onUndone` hears of each undo that took effect. */
  constructor(history: History, onUndone: (sagaId: string, step: string) => void) {
    this.#history = history;
    this.#onUndone = onUndone;
  }

  /** A handler has done, or undone, what it was asked for, if its transaction commits. */
  change(tx: SqlRunner, { sagaId, step, direction }: CommandMessage): { readonly n: number } {
    const result = { n: ++this.#count };
    this.#byTx.set(tx, [...(this.#byTx.get(tx) ?? []), { sagaId, step, direction, result }]);
    return result;
  }

  /** A storage of participants that tells this ledger what commits. */
  watch(storage: SagaStorage): SagaStorage {
    const { inbox } = storage;
    const process: typeof inbox.process = async (request, work) => {
      let used: SqlRunner | undefined;
      const answers = await inbox.process(request, (tx, fresh) => work((used = tx), fresh));
      for (const change of (used && this.#byTx.get(used)) ?? []) this.#commit(change);
      return answers;
    };
    return { ...storage, inbox: { ...inbox, process } };
  }

  #commit({ sagaId, step, direction, result }: Change): void {
    const key = toKey(sagaId, step);
    const deed = this.deeds.get(key);
    this.#history.note(`${direction} ${key}: committed`);
    if (direction === "undo") {
      this.#history.saw("commands undone");
      if (!deed?.isPresent) this.#history.breach("only what was done is undone, and once", key);
      if (deed) deed.isPresent = false;
      return this.#onUndone(sagaId, step);
    }
    this.#history.saw("commands done");
    if (deed) this.#history.breach("a command takes effect once", `${key} (${deed.isPresent})`);
    const why = this.#forbidden.get(key);
    if (why !== undefined)
      this.#history.breach("nothing is done for a saga that has gone back", `${key}: ${why}`);
    this.deeds.set(key, { sagaId, step, result, isPresent: true });
  }

  /** What is in force of a step. */
  find(sagaId: string, step: string): Deed | undefined {
    const deed = this.deeds.get(toKey(sagaId, step));
    return deed?.isPresent ? deed : undefined;
  }

  /** From now on this step may not take effect any more. */
  forbid(sagaId: string, step: string, why: string): void {
    this.#forbidden.set(toKey(sagaId, step), why);
  }

  /** What somebody sees who looks at the participant's books: how it is now. */
  verify(sagaId: string, step: string): Exclude<Verdict, { outcome: "unknown" }> {
    const deed = this.find(sagaId, step);
    return deed ? { outcome: "done", result: deed.result } : { outcome: "not_done" };
  }

  /** The broker has taken this message. */
  take({ headers, payload }: BrokerMessage): void {
    if (headers["ce_type"] !== REPLY_TYPE) return;
    const { sagaId, step, direction, round, outcome } = JSON.parse(String(payload)) as ReplyMessage;
    const key = `${toKey(sagaId, step)}/${direction}/${round}`;
    const answers = this.#answers.get(key) ?? new Set();
    this.#answers.set(key, answers.add(outcome));
    this.#history.note(`answered: ${key} ${outcome}`);
    if (outcome === "failed") this.#history.saw("commands declined");
    if (outcome === "refused") this.#history.saw("commands refused");
    if (outcome === "unknown") this.#history.saw("unknown answers");
    if (round > 0) this.#history.saw("new rounds");
    if (answers.has("done") && answers.has("failed"))
      this.#history.breach("an answer that is for good stays as it is", key);
  }

  /** Whether one of these outcomes was answered. */
  hasAnswered(
    asked: {
      readonly sagaId: string;
      readonly step: string;
      readonly direction: Direction;
      readonly round: number;
    },
    outcomes: readonly ReplyMessage["outcome"][],
  ): boolean {
    const { sagaId, step, direction, round } = asked;
    const answers = this.#answers.get(`${toKey(sagaId, step)}/${direction}/${round}`);
    return outcomes.some((outcome) => answers?.has(outcome));
  }
}

function toKey(sagaId: string, step: string): string {
  return `${sagaId}/${step}`;
}
