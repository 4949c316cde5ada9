import { must } from "../../core/must.ts";
import type { ParticipantEffect, ParticipantStorage } from "../../ports/participants.ts";
import type { Tables } from "./tables.ts";
import type { Transactions } from "./transactions.ts";

/** The participants of the tables. */
export function participantsIn(tables: Tables, transactions: Transactions): ParticipantStorage {
  const { effects } = tables;
  return {
    async take(tx, effect) {
      const key = keyOf(effect);
      const open = transactions.get(tx);
      for (let other = effects.takenBy(key); other && other.tx !== tx; other = effects.takenBy(key))
        await other.settled;
      if (!effects.takenBy(key)) {
        const end = effects.take(key, tx);
        open.onEnd((hasCommitted) => end(hasCommitted, tables.now()));
      }
      return effects.find(key);
    },
    async keep(tx, effect, standing) {
      const taken = effects.takenBy(keyOf(effect));
      must(taken?.tx === tx, "an effect is kept by who has taken it");
      taken.standing = standing;
    },
  };
}

function keyOf({ participant, effect }: ParticipantEffect): string {
  return JSON.stringify([participant, effect]);
}
