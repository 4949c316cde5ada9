import type { Beat, Claim, ClaimedSaga, LeaseStore, NewWorker } from "../../ports/storage.ts";
import type { Database } from "./database.ts";
import { fromKept, toDef } from "./rows.ts";
import { leaseScripts } from "./scripts/leases.ts";

/** A saga as it is handed over. */
export type ClaimAnswer = readonly [sagaId: string, adoptions: number, mailSeq: number, journal: string[]];

/** Workers and ownership in Redis. What may be much is done some at a time, so that no script takes long. */
export function leasesIn(database: Database): LeaseStore {
  return {
    register: (worker) => register(database, worker),
    beat: (epoch) => beat(database, epoch),
    async fenceExpired() {
      const request = {};
      while ((await database.write<number>({ script: leaseScripts.fence, request })) > 0);
      return letGo(database, request);
    },
    claim: (claim) => claimSagas(database, claim),
    async forgotten({ epoch, known }) {
      const request = { epoch: String(epoch), known };
      const answers = await database.look<ClaimAnswer[]>({ script: leaseScripts.forgotten, request });
      return answers.map(toClaimed);
    },
    async retire(epoch) {
      const request = { epoch: String(epoch) };
      await database.write({ script: leaseScripts.retire, request });
      await letGo(database, request);
    },
  };
}

async function register(database: Database, { workerName, leaseMs, definitions }: NewWorker) {
  const held = definitions.map((definition) => {
    const { sagaName: saga, version, graphHash: hash } = definition;
    return { def: toDef(definition), saga, version, hash };
  });
  const call = {
    script: leaseScripts.register,
    request: { name: workerName, leaseMs, held, defs: JSON.stringify(held.map(({ def }) => def)) },
    texts: definitions.map(({ graph }) => graph),
  };
  const [epoch, now, more] = await database.keep<[string, number, [string, string][]]>(call);
  for (const [def, first] of more) {
    let after: string | null = first;
    while (after !== null)
      after = await database.write<string | null>({ script: leaseScripts.unpark, request: { def, after } });
  }
  return { epoch: Number(epoch), now };
}

async function beat(database: Database, epoch: number): Promise<Beat> {
  const request = { epoch: String(epoch) };
  const answer = await database.write<[number, number, number, number, number]>({
    script: leaseScripts.beat,
    request,
  });
  const [now, alive, work, mail, upkeep] = answer;
  return { now, alive: alive === 1, work: work === 1, mail: mail === 1, upkeep: upkeep === 1 };
}

/** Lets go of what is owned by a worker whose registration has ended, or by all of them; answers of how many sagas. */
async function letGo(database: Database, request: { readonly epoch?: string }): Promise<number> {
  let count = 0;
  for (;;) {
    const [some, more] = await database.write<[number, number]>({ script: leaseScripts.letGo, request });
    count += some;
    if (more === 0) return count;
  }
}

async function claimSagas(database: Database, claim: Claim): Promise<readonly ClaimedSaga[]> {
  const { epoch, limit, definitions, tenants, sagaId } = claim;
  const request = {
    epoch: String(epoch),
    limit,
    defs: definitions.map((one) => ({ def: toDef(one), room: one.room ?? limit })),
    each: tenants?.each,
    left: tenants && Object.fromEntries(tenants.left),
    id: sagaId,
  };
  return (await database.write<ClaimAnswer[]>({ script: leaseScripts.claim, request })).map(toClaimed);
}

/** A saga as the script hands it over. */
export function toClaimed([sagaId, adoptions, mailSeq, journal]: ClaimAnswer): ClaimedSaga {
  return { sagaId, adoptions, mailSeq, journal: journal.map((kept, n) => fromKept(kept, n + 1)) };
}
