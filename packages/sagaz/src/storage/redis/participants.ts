import { SagaError } from "../../core/errors.ts";
import type { ParticipantStorage } from "../../ports/participants.ts";

/** What a participant does and remembers would have to commit together: there is no transaction here that its handler could write in. */
export const noParticipants: ParticipantStorage = {
  take: () => Promise.reject(cannot()),
  keep: () => Promise.reject(cannot()),
};

function cannot(): SagaError {
  return new SagaError("SAGAZ_CANNOT", {
    storage: "Redis",
    what: "remember what a participant was asked for",
  });
}
