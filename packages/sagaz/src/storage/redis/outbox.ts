import { SagaError } from "../../core/errors.ts";
import { OUTBOX_SHARDS } from "../../core/delivery/shard.ts";
import type {
  OutboxStorage,
  PendingEvent,
  Settlement,
  TakenEvents,
  TakeRequest,
} from "../../ports/outbox.ts";
import type { Database } from "./database.ts";
import { fromPending, type PendingAnswer } from "./events.ts";
import { toMailText } from "./journal.ts";
import { outboxScripts as scripts } from "./scripts/outbox.ts";
import { storable } from "./storable.ts";
import type { Transactions } from "./transactions.ts";

const allShards = Array.from({ length: OUTBOX_SHARDS }, (_, shard) => shard);

/** How far a relay has read these shards. */
interface Place {
  readonly shards: string;
  after: number;
}

/** The outbox in Redis. */
export function outboxIn(database: Database, transactions: Transactions): OutboxStorage {
  const places = new Map<number, Place>();
  return {
    async addIn(tx, events) {
      transactions.add(tx, events);
      return []; // none is held: nobody learns of the commit
    },
    toText() {
      throw new SagaError("SAGAZ_CANNOT", { storage: "Redis", what: "add events by SQL" });
    },
    async behindOthers(events) {
      const request = { events: events.map(({ id, key }) => ({ id, key })) };
      return (await database.look<string[]>({ script: scripts.behindOthers, request })).map(Number);
    },
    async settleHeld({ sent, released }) {
      await database.write({ script: scripts.settleHeld, request: { sent, released } });
    },
    async balance(epoch) {
      const request = { epoch: String(epoch), shards: allShards };
      const [share, shards] = await database.write<[number, number[]]>({ script: scripts.balance, request });
      return { share, shards };
    },
    async release({ epoch, shards }) {
      await database.write({ script: scripts.release, request: { epoch: String(epoch), shards } });
    },
    take: (request) => take(database, request, placeOf(places, request)),
    settle: (settlement) => settle(database, settlement),
    async backlog() {
      const call = { script: scripts.backlog, request: {} };
      const [pending, oldestAt, dead] = await database.look<[number, number | null, number]>(call);
      return { pending, oldestAt, dead };
    },
  };
}

function placeOf(places: Map<number, Place>, { epoch, shards, again }: TakeRequest): Place {
  const names = shards.join();
  let place = places.get(epoch);
  // Only one relay of a process reads at a time: who came before has another epoch now.
  if (place?.shards !== names) places.set(epoch, (place = { shards: names, after: 0 }));
  if (again !== undefined) place.after = Math.min(place.after, again - 1);
  return place;
}

async function take(
  database: Database,
  { shards, limit, bytesMax, inFlight, held }: TakeRequest,
  place: Place,
): Promise<TakenEvents> {
  const allInFlight = [...inFlight].map(({ id }) => id); // as it is now: what is settled from now on may still be read
  const events: PendingEvent[] = [];
  let isAll = shards.length === 0;
  let bytesLeft = bytesMax;
  while (!isAll && events.length < limit && bytesLeft > 0) {
    const { after } = place;
    const request = {
      shards,
      after,
      limit: limit - events.length,
      bytesMax: bytesLeft,
      inFlight: allInFlight.filter((id) => id > after),
      held,
    };
    const call = { script: scripts.take, request };
    const [readTo, all, some, bytes] = await database.look<[string, number, PendingAnswer[], number]>(call);
    events.push(...some.map(fromPending));
    place.after = Number(readTo);
    isAll = all === 1;
    bytesLeft -= bytes;
  }
  return { events, isAll };
}

async function settle(database: Database, { epoch, sent, failed, dead }: Settlement): Promise<void> {
  const request = {
    epoch: String(epoch),
    sent,
    failed: failed.map(({ id, attempts, delayMs }) => ({ id, attempts, delayMs })),
    dead: dead.map(({ id, mail }) => (mail ? { id, saga: mail.sagaId, mailId: mail.mailId } : { id })),
  };
  const texts = dead.flatMap(({ attempts, code, error, mail }) => [
    JSON.stringify({ consumerName: null, attempts, code, error: storable(error), stack: null }),
    ...(mail ? [toMailText(mail)] : []),
  ]);
  await database.write({ script: scripts.settle, request, texts });
}
