import type { Mutation } from "../mutation.ts";

/** Mistakes of delivery that the simulation must notice. */
export const deliveryMutations: readonly Mutation[] = [
  {
    name: "events are noted as sent before the broker has them",
    file: "runtime/delivery/relay.ts",
    text: "const answers = await publishEvents(this.#parts.broker, events);",
    replacement:
      "await this.#settle({ sent: events.map(({ id }) => id), failed: [], dead: [], outage: undefined });\n    const answers = await publishEvents(this.#parts.broker, events);",
  },
  {
    name: "an outage counts against the event",
    file: "runtime/delivery/verdict.ts",
    text: "else if (!answer.retryable) refuse",
    replacement: 'else if (answer.code !== "SAGAZ_BROKER_HELD_BACK") refuse',
  },
  {
    name: "an outage is taken for sent",
    file: "runtime/delivery/verdict.ts",
    text: "if (!answer) verdict.sent",
    replacement: 'if (!answer || answer.code === "SAGAZ_BROKER_UNAVAILABLE") verdict.sent',
  },
  {
    name: "what is held back counts as sent",
    file: "runtime/delivery/verdict.ts",
    text: "if (!answer) verdict.sent",
    replacement: 'if (!answer || answer.code === "SAGAZ_BROKER_HELD_BACK") verdict.sent',
  },
  {
    name: "an event overtakes a refused one of its key",
    file: "runtime/delivery/relay.ts",
    text: "{ fromId: id, forMs: Number.POSITIVE_INFINITY }",
    replacement: "{ fromId: id, forMs: 0 }",
  },
  {
    name: "a refused event's key is let go before that is noted",
    file: "runtime/delivery/relay.ts",
    text: "{ fromId: id, forMs: Number.POSITIVE_INFINITY }",
    replacement: "{ fromId: id, forMs: 250 }",
  },
  {
    name: "an event overtakes one of its key that may not be sent yet",
    file: "runtime/delivery/relay.ts",
    text: "Math.min(waitMs, UNAVAILABLE_MS);\n      this.#held.hold(key, { fromId: id, forMs });",
    replacement: "Math.min(waitMs, UNAVAILABLE_MS);\n      void forMs;",
  },
  {
    name: "what was read ahead is sent before what was not accepted",
    file: "runtime/delivery/relay.ts",
    text: "const ahead = await this.#ahead?.catch(() => undefined);\n    this.#ahead = undefined;",
    replacement: "const ahead = await this.#ahead?.catch(() => undefined);",
  },
  {
    name: "what is in flight is read again",
    file: "runtime/delivery/relay.ts",
    text: "const inFlight = this.#inFlight.values();",
    replacement: "const inFlight: EventInFlight[] = [];",
  },
  {
    name: "shards are given back while their events are with the broker",
    file: "runtime/delivery/relay.ts",
    text: "this.#leaving.filter((shard) => !busy.has(shard))",
    replacement: "this.#leaving",
  },
  {
    name: "the inbox does the work of repetitions too",
    file: "storage/memory/inbox.ts",
    text: "noted.has(key) ? [n] : []",
    replacement: "noted.has(key) || key ? [n] : []",
  },
  {
    name: "an inbox forgets its notes when the work succeeded",
    file: "storage/memory/inbox.ts",
    text: "if (hasCommitted) for",
    replacement: "if (!hasCommitted) for",
  },
  {
    name: "what an inbox publishes is not added",
    file: "runtime/delivery/consumer-inbox.ts",
    text: "if (published.length > 0) await",
    replacement: "if (published.length > 1) await",
  },
  {
    name: "a message overtakes a failed one of its key in a batch",
    file: "runtime/delivery/consumer-inbox.ts",
    text: "if (failed.key !== undefined) failedKeys.add(placeOf(failed));",
    replacement: "",
  },
  {
    name: "a message overtakes a failed one of its key that waits",
    file: "runtime/delivery/inbox-worker.ts",
    text: "if (this.#held.has(keyOf(waiting), 0)) continue;",
    replacement: "if (waiting.attempts > 0 && this.#held.has(keyOf(waiting), 0)) continue;",
  },
  {
    name: "a failed message is acknowledged",
    file: "runtime/delivery/inbox-worker.ts",
    text: "this.#held.hold(keyOf(waiting), { fromId: 0, forMs: growing * (0.5 + chance.next() / 2) });\n    return false;",
    replacement: "return true;",
  },
  {
    name: "a message is acknowledged although the storage was away",
    file: "runtime/delivery/inbox-worker.ts",
    text: "return this.#storageAway(error);",
    replacement:
      "this.#waiting = this.#waiting.filter((waiting) => !batch.includes(waiting));\n      this.#subscription?.ack(batch.map(({ received }) => received));\n      return this.#storageAway(error);",
  },
  {
    name: "a message is given up before its tries are over",
    file: "runtime/delivery/inbox-worker.ts",
    text: "attempts >= attemptsMax || isHopeless(error)",
    replacement: "attempts >= 2 || isHopeless(error)",
  },
  {
    name: "a message that is given up is not kept",
    file: "runtime/delivery/inbox-worker.ts",
    text: "await storage.deadLetters.bury(letter)",
    replacement: "await Promise.resolve(letter)",
  },
  {
    name: "the publisher does not note what it sent",
    file: "runtime/delivery/optimistic-publisher.ts",
    text: "settleHeld(lot)",
    replacement: "settleHeld({ sent: [], released: lot.released })",
  },
  {
    name: "the publisher notes as sent what the broker did not take",
    file: "runtime/delivery/optimistic-publisher.ts",
    text: "answers[n] ? [] : [id]",
    replacement: "answers[n] ? [id] : [id]",
  },
  {
    name: "the publisher sends what waits behind an earlier event of its key",
    file: "runtime/delivery/optimistic-publisher.ts",
    text: "{ ...one, event, offeredAt }",
    replacement: "{ ...one, event, offeredAt, isFree: true }",
  },
  {
    name: "relays do not leave alone what a publisher sends",
    file: "runtime/journal-writer.ts",
    text: "const holdMs = events.length > 0 ? this.#publisher?.holdMs : 0;",
    replacement: "const holdMs = events.length > 0 && this.#publisher?.holdMs ? 1 : 0;",
  },
  {
    name: "events of a transaction that rolled back are published",
    file: "storage/memory/transactions.ts",
    text: "for (const callBack of this.#onEnd) callBack(false);",
    replacement:
      "for (const callBack of this.#onEnd) callBack(false);\n    for (const { events, holdMs } of this.#added) this.#tables.publish(events, this.#tables.now(), holdMs);",
  },
  {
    name: "what an attempt published is not recorded with its result",
    file: "runtime/attempt.ts",
    text: "return this.#published && events.some(({ type }) => RESULTS.has(type)) ? this.#published : NONE;",
    replacement: "return NONE;",
  },
];
