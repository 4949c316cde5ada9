import { SagaError } from "../../core/errors.ts";
import type { Beat, Claim, ClaimedSaga, HeldDefinition, LeaseStore, NewWorker } from "../../ports/storage.ts";
import { ClaimRoom } from "./claim-room.ts";
import type { DefinitionRecord, SagaRecord, WorkerRecord } from "./records.ts";
import { readsMail } from "./tables.ts";
import type { Tables } from "./tables.ts";
import { isBefore } from "./wake-queue.ts";

/** Workers and ownership, in memory. */
export function leasesIn(tables: Tables): LeaseStore {
  return {
    async register(worker) {
      return register(tables, worker);
    },
    async beat(epoch) {
      return beat(tables, epoch);
    },
    async fenceExpired() {
      let count = 0;
      const now = tables.now();
      for (const worker of [...tables.workers.values()].filter((one) => hasExpired(one, now))) {
        count += worker.owned.size;
        for (const saga of worker.owned) saga.adoptions++;
        dismiss(tables, worker, worker.heartbeatAt);
      }
      return count;
    },
    async claim(claim) {
      return claimSagas(tables, claim);
    },
    async forgotten({ epoch, known }) {
      const isKnown = new Set(known);
      const owned = [...(tables.workers.get(epoch)?.owned ?? [])];
      return owned.filter(({ sagaId }) => !isKnown.has(sagaId)).map((saga) => toClaimed(tables, saga));
    },
    async retire(epoch) {
      const worker = tables.workers.get(epoch);
      if (worker) dismiss(tables, worker, tables.now());
    },
  };
}

function register(tables: Tables, { leaseMs, definitions }: NewWorker): { epoch: number; now: number } {
  for (const held of definitions) checkGraph(tables.findDefinition(held), held);
  const [epoch, now] = [tables.nextEpoch(), tables.now()];
  const records = definitions.map((held) => {
    const record = tables.ensureDefinition(held);
    record.graphHash = held.graphHash;
    record.holders.add(epoch);
    return record;
  });
  tables.workers.set(epoch, {
    epoch,
    leaseMs,
    definitions: records,
    heartbeatAt: now,
    owned: new Set(),
    mailed: new Set(),
  });
  for (const { parked } of records) {
    for (const saga of parked) if (saga.owner === null) tables.setOwner(saga, { owner: null, wakeAt: now });
  }
  return { epoch, now };
}

function checkGraph(record: DefinitionRecord | undefined, held: HeldDefinition): void {
  const known = record?.graphHash;
  if (known === undefined || known === held.graphHash) return;
  const { sagaName: saga, version, graphHash } = held;
  throw new SagaError("SAGAZ_DEFINITION_CHANGED", { saga, version, known, held: graphHash });
}

function beat(tables: Tables, epoch: number): Beat {
  const [worker, now] = [tables.workers.get(epoch), tables.now()];
  if (!worker) return { now, alive: false, work: false, mail: false, upkeep: false };
  worker.heartbeatAt = now;
  return {
    now,
    alive: true,
    work: worker.definitions.some(({ queue }) => queue.due(now)),
    mail: worker.mailed.size > 0,
    upkeep: hasUpkeep(tables, now),
  };
}

function hasUpkeep(tables: Tables, now: number): boolean {
  for (const worker of tables.workers.values()) if (hasExpired(worker, now)) return true;
  for (const { holders, queue } of tables.definitions.values())
    if (holders.size === 0 && queue.due(now)) return true;
  return false;
}

function hasExpired(worker: WorkerRecord, now: number): boolean {
  return now > worker.heartbeatAt + worker.leaseMs;
}

/** Ends a worker's registration and lets go of what it owned. */
function dismiss(tables: Tables, worker: WorkerRecord, heldUntil: number): void {
  const now = tables.now();
  for (const saga of worker.owned)
    tables.setOwner(saga, { owner: null, wakeAt: readsMail(saga.status) ? now : null });
  tables.workers.delete(worker.epoch);
  tables.outbox.dismiss(worker.epoch);
  for (const definition of worker.definitions) {
    definition.holders.delete(worker.epoch);
    definition.missingSince = Math.max(definition.missingSince, heldUntil);
  }
}

function claimSagas(tables: Tables, { epoch, sagaId, ...claim }: Claim): readonly ClaimedSaga[] {
  if (!tables.workers.has(epoch)) return [];
  const room = new ClaimRoom(
    claim,
    claim.definitions.flatMap((one) => {
      const record = tables.findDefinition(one);
      return record ? [[record, one.room] as const] : [];
    }),
  );
  return sagaId === undefined
    ? takeDue(tables, epoch, room)
    : takeOne(tables, epoch, { room, saga: tables.sagas.get(sagaId) });
}

function takeOne(
  tables: Tables,
  epoch: number,
  { room, saga }: { readonly room: ClaimRoom; readonly saga: SagaRecord | undefined },
): readonly ClaimedSaga[] {
  if (!saga || !isDue(saga, tables.now()) || room.isFull(saga.tenantId)) return [];
  return [...room.open()].includes(saga.definition) ? [take(tables, saga, epoch)] : [];
}

/** Takes ownership of what there is room for, longest due first. */
export function takeDue(tables: Tables, epoch: number, room: ClaimRoom): readonly ClaimedSaga[] {
  const now = tables.now();
  const taken: ClaimedSaga[] = [];
  for (;;) {
    let first: SagaRecord | undefined;
    for (const { queue } of room.open()) {
      const saga = queue.due(now, (tenantId) => room.isFull(tenantId));
      if (saga && (!first || isBefore(saga, first))) first = saga;
    }
    if (!first) return taken;
    room.take(first);
    taken.push(take(tables, first, epoch));
  }
}

function take(tables: Tables, saga: SagaRecord, epoch: number): ClaimedSaga {
  tables.setOwner(saga, { owner: epoch, wakeAt: null });
  return toClaimed(tables, saga);
}

function toClaimed(tables: Tables, { sagaId, adoptions }: SagaRecord): ClaimedSaga {
  const mailSeq = tables.mailboxes.get(sagaId)?.lastSeq ?? 0;
  return { sagaId, adoptions, mailSeq, journal: [...(tables.journals.get(sagaId) ?? [])] };
}

function isDue(saga: SagaRecord, now: number): boolean {
  return saga.owner === null && saga.wakeAt !== null && saga.wakeAt <= now;
}
