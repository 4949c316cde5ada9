import { SagaError } from "../../core/errors.ts";
import { givenOptions, PARTS } from "../../core/given-options.ts";
import type { DeadLetterFilter, DeadLetterPage } from "../../ports/dead-letters.ts";
import type { SagaStorage } from "../../ports/storage.ts";

/** Dead letters that are listed, or redriven, in one call at most. */
const LETTERS_MAX = 1_000;

/**
 * The events that could not be published, and the messages that consumers could not process: to look at, and to send out
 * again once what was wrong is mended.
 *
 * @example
 * const letters = new DeadLetters({ storage });
 * const { letters: open } = await letters.list({ consumerName: "billing", open: true });
 * await letters.redrive(open.map(({ id }) => id), { actor: "ann" });
 */
export class DeadLetters {
  readonly #storage: SagaStorage;

  constructor(options: { readonly storage: SagaStorage }) {
    this.#storage = givenOptions("DeadLetters", options, { storage: PARTS.storage }).storage;
  }

  /**
   * One page, oldest first; `limit` is 100 unless given, and 1,000 at most.
   *
   * @throws SagaError `SAGAZ_INVALID_OPTION`, `SAGAZ_STORAGE_UNAVAILABLE`.
   */
  async list(filter: Partial<DeadLetterFilter> = {}): Promise<DeadLetterPage> {
    const { limit = 100 } = filter;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > LETTERS_MAX)
      throw invalid("limit", String(limit), `it must be a whole number from 1 to ${LETTERS_MAX}`);
    return this.#storage.deadLetters.list({ ...filter, limit });
  }

  /**
   * Publishes events again, once each, with their old ids and marked by the header `sagaz-redriven`. That of a consumer
   * goes to its topic, and other consumers pass it over. Answers which went out now: the others were redriven before, or
   * are not there. They may arrive out of order.
   *
   * @throws SagaError `SAGAZ_INVALID_OPTION`, `SAGAZ_REASON_REQUIRED` without an actor, `SAGAZ_STORAGE_UNAVAILABLE`.
   */
  async redrive(ids: readonly number[], { actor }: { readonly actor: string }): Promise<readonly number[]> {
    if (typeof actor !== "string" || actor.trim() === "")
      throw new SagaError("SAGAZ_REASON_REQUIRED", { request: "redrive" });
    const isWrong = ids.some((id) => !Number.isSafeInteger(id)) || ids.length > LETTERS_MAX;
    if (isWrong)
      throw invalid(
        "ids",
        `a list of ${ids.length}`,
        `it must hold up to ${LETTERS_MAX} ids of dead letters`,
      );
    return this.#storage.deadLetters.redrive({ ids, actor });
  }
}

function invalid(option: string, value: string, rule: string): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", { where: "DeadLetters", option, value, rule });
}
