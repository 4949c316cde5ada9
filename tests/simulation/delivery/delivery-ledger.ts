import type { SqlRunner } from "../../../packages/sagaz/src/core/definition/context.ts";
import type { BrokerMessage } from "../../../packages/sagaz/src/ports/broker.ts";
import type { DeadLetter } from "../../../packages/sagaz/src/ports/dead-letters.ts";
import type { OutboxRow } from "../../../packages/sagaz/src/ports/outbox.ts";
import type { SagaStorage } from "../../../packages/sagaz/src/ports/storage.ts";
import type { History } from "../../../packages/sagaz/src/testing/simulator/history.ts";
import { refusedType } from "./faulty-broker.ts";

/** Where the consumer's own events go: one for each event that it has processed. */
export const effectsTopic = "bills";
/** What its handler cannot process, however often it tries. */
export const hopelessType = "hopeless";

/**
 * Who committed what, what the broker took, and what the consumer did: told by the calls at the ports alone, so that
 * neither the storage nor the engine judges itself.
 */
export class DeliveryLedger {
  readonly #history: History;
  readonly #byTx = new Map<SqlRunner, OutboxRow[]>();
  /** In the order of the commits. */
  readonly committed = new Map<string, OutboxRow>();
  /** Times that the broker took each event, in the order of the first. */
  readonly accepted = new Map<string, { readonly message: BrokerMessage; times: number }>();
  /** Events that had their effect, in order, with the event that tells of it. */
  readonly effects = new Map<string, string>();

  constructor(history: History) {
    this.#history = history;
  }

  /** A storage that tells this ledger what commits. */
  watch(storage: SagaStorage): SagaStorage {
    const { journal, outbox, inbox } = storage;
    return {
      ...storage,
      journal: {
        ...journal,
        append: async (batch) => {
          const receipt = await journal.append(batch);
          this.#commit(batch.entries.flatMap(({ outbox: events }) => events));
          return receipt;
        },
      },
      outbox: {
        ...outbox,
        addIn: (tx, events, holdMs) => {
          this.#byTx.set(tx, [...(this.#byTx.get(tx) ?? []), ...events]);
          return outbox.addIn(tx, events, holdMs);
        },
      },
      inbox: {
        ...inbox,
        process: async (request, work) => {
          let used: SqlRunner | undefined;
          const answers = await inbox.process(request, (tx, fresh) => work((used = tx), fresh));
          if (used) this.commit(used);
          return answers;
        },
      },
    };
  }

  /** This transaction has committed. */
  commit(tx: SqlRunner): void {
    this.#commit(this.#byTx.get(tx) ?? []);
    this.#byTx.delete(tx);
  }

  #commit(events: readonly OutboxRow[]): void {
    for (const event of events) {
      this.#history.saw("outbox events");
      this.#history.note(`committed: ${tell(event)}`);
      this.committed.set(event.eventId, event);
      if (event.topic === effectsTopic) this.#effect(event);
    }
  }

  #effect({ eventId, headers }: OutboxRow): void {
    const { "causation-id": cause = "" } = JSON.parse(headers ?? "{}") as Record<string, string>;
    this.#history.saw("effects");
    if (this.effects.has(cause)) this.#history.breach("an event takes effect once", cause);
    if (this.committed.get(cause)?.type === hopelessType)
      this.#history.breach("what a handler fails to do has no effect", cause);
    this.effects.set(cause, eventId);
  }

  /** The broker has taken this message. */
  take(message: BrokerMessage): void {
    const id = message.headers["ce_id"] ?? "";
    this.#history.note(`the broker takes ${message.topic}/${message.key} ${id}`);
    const known = this.accepted.get(id);
    if (known) this.#history.saw("duplicate messages");
    if (known) known.times += 1;
    else this.accepted.set(id, { message, times: 1 });
  }

  /** Events that are still to reach the broker, the consumer, or the dead letters. */
  debts(letters: readonly DeadLetter[]): readonly string[] {
    const dead = new Map(letters.map((letter) => [`${letter.consumerName} ${letter.event.eventId}`, letter]));
    return [...this.committed.values()].flatMap((event) => {
      const { eventId: id, type, topic } = event;
      if (type === refusedType) return dead.has(`null ${id}`) ? [] : [`${tell(event)} is no dead letter`];
      if (!this.accepted.has(id)) return [`${tell(event)} is not published`];
      if (topic === effectsTopic || this.effects.has(id)) return [];
      if (type === hopelessType && dead.has(`billing ${id}`)) return [];
      return [`${tell(event)} has had no effect`];
    });
  }

  /** Judges all that has happened. */
  judge(letters: readonly DeadLetter[], { isNormal }: { readonly isNormal: boolean }): void {
    for (const debt of this.debts(letters)) this.#history.breach("no event is lost", debt);
    for (const [id, { message, times }] of this.accepted) {
      const event = this.committed.get(id);
      if (!event) this.#history.breach("nothing is published that was not committed", id);
      else if (
        event.payload !== message.payload ||
        event.topic !== message.topic ||
        event.key !== message.key
      )
        this.#history.breach("an event is published as it was written", tell(event));
      if (isNormal && times > 1)
        this.#history.breach("without faults each event is published once", `${id}: ${times} times`);
    }
    this.#judgeOrder("first deliveries keep the order of their key", [...this.accepted.keys()]);
    this.#judgeOrder("effects keep the order of their key", [...this.effects.keys()]);
    this.#judgeLetters(letters);
  }

  #judgeOrder(law: string, ids: readonly string[]): void {
    const places = new Map([...this.committed.keys()].map((id, place) => [id, place]));
    const last = new Map<string, number>();
    for (const id of ids) {
      const event = this.committed.get(id);
      if (!event) continue;
      const key = JSON.stringify([event.topic, event.key]);
      const place = places.get(id) ?? 0;
      if (place < (last.get(key) ?? -1)) this.#history.breach(law, `${tell(event)} came after a later one`);
      last.set(key, place);
    }
  }

  #judgeLetters(letters: readonly DeadLetter[]): void {
    const seen = new Set<string>();
    for (const { event, consumerName, code } of letters) {
      this.#history.saw("dead letters");
      const [type, reason] =
        consumerName === null
          ? [refusedType, "SAGAZ_MESSAGE_REFUSED"]
          : [hopelessType, "SAGAZ_HANDLER_FAILED"];
      if (event.type !== type || code !== reason)
        this.#history.breach(
          "dead letters hold poison only, with the true reason",
          `${tell(event)}: ${code}`,
        );
      const place = `${consumerName} ${event.eventId}`;
      if (seen.has(place)) this.#history.breach("a dead letter is kept once", place);
      seen.add(place);
    }
  }
}

function tell({ topic, key, type, eventId }: OutboxRow): string {
  return `${topic}/${key} ${type} ${eventId}`;
}
