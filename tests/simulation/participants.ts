import { fail } from "../../packages/sagaz/src/core/decide/outcome.ts";
import type { Verdict } from "../../packages/sagaz/src/core/definition/context.ts";
import type { SeededChance } from "../../packages/sagaz/src/testing/seeded-chance.ts";

/** What the participant of one step is like. */
export interface Manner {
  /** Refuses what comes after its undo, and remembers undoing what never came. */
  readonly fenced: boolean;
  /** How often the business says no. */
  readonly declines: number;
  /** How often its undo fails, and whether for good. */
  readonly undoFails: number;
  readonly undoFailsForGood: boolean;
  /** Answers something that no journal can keep. */
  readonly answersNonsense: boolean;
  /** How often calling it kills the process that calls. */
  readonly kills: number;
}

/** One thing that was done in the world under an action's key. */
export interface Effect {
  readonly key: string;
  readonly sagaId: string;
  /** Step name, or `name[3]`. */
  readonly step: string;
  readonly result: unknown;
  readonly fenced: boolean;
  present: boolean;
}

interface Call {
  readonly sagaId: string;
  readonly step: string;
  readonly idempotencyKey: string;
  readonly actionKey?: string;
}

/** All services of a simulated world. They are idempotent by key; most are fenced by tombstones. */
export class Participants {
  readonly effects = new Map<string, Effect>();
  readonly #tombstones = new Set<string>();
  readonly #undoKeys = new Set<string>();
  /** Calls that were made and have not arrived, by key: while there are some, nobody can say "not done". */
  readonly #underway = new Map<string, number>();
  readonly #chance: SeededChance;
  #count = 0;

  constructor(chance: SeededChance) {
    this.#chance = chance;
  }

  sent(key: string): void {
    this.#underway.set(key, (this.#underway.get(key) ?? 0) + 1);
  }

  arrived(key: string): void {
    this.#underway.set(key, (this.#underway.get(key) ?? 0) - 1);
  }

  do(call: Call, manner: Manner): unknown {
    const key = call.idempotencyKey;
    const known = this.effects.get(key);
    if (known?.present) return toAnswer(known.result, manner);
    if (manner.fenced && this.#tombstones.has(key)) throw fail("refused: it was undone");
    if (this.#chance.happens(manner.declines)) throw fail("declined");
    return toAnswer(this.#make(call, manner.fenced).result, manner);
  }

  #make({ sagaId, step, idempotencyKey: key }: Call, fenced: boolean): Effect {
    const effect: Effect = { key, sagaId, step, result: { n: ++this.#count }, fenced, present: true };
    this.effects.set(key, effect);
    return effect;
  }

  undo(call: Call, manner: Manner): unknown {
    const actionKey = call.actionKey ?? "";
    if (this.#chance.happens(manner.undoFails)) {
      throw manner.undoFailsForGood ? fail("cannot be undone") : new Error("not now");
    }
    // One without a fence remembers what it was asked, and does not look twice.
    if (!manner.fenced && this.#undoKeys.has(call.idempotencyKey)) return { undone: actionKey };
    this.#undoKeys.add(call.idempotencyKey);
    this.undoByHand(actionKey);
    return { undone: actionKey };
  }

  verify(call: Call): Verdict {
    const effect = this.effects.get(call.idempotencyKey);
    if (effect?.present) return { outcome: "done", result: effect.result };
    return { outcome: (this.#underway.get(call.idempotencyKey) ?? 0) > 0 ? "unknown" : "not_done" };
  }

  /** A person takes it back, and sees to it that it does not come again. */
  undoByHand(actionKey: string): void {
    this.#tombstones.add(actionKey);
    const effect = this.effects.get(actionKey);
    if (effect) effect.present = false;
  }

  /** A person does it. */
  doByHand(call: Call): unknown {
    const known = this.effects.get(call.idempotencyKey);
    return known?.present ? known.result : this.#make(call, true).result;
  }

  isPresent(actionKey: string): boolean {
    return this.effects.get(actionKey)?.present ?? false;
  }
}

function toAnswer(result: unknown, { answersNonsense }: Manner): unknown {
  return answersNonsense ? Object.assign(() => {}, { toJSON: () => result }) : result;
}
