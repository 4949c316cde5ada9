import type { BatchAnswer } from "./batch-answer.ts";
import type { Access, Address, Connections } from "./connections.ts";
import type { Batch, BatchIdentity, Lane } from "./lane.ts";

/** A batch, and whose it is. */
export interface LaneBatch {
  readonly lane: Lane;
  readonly batch: Batch;
}

/** Batches that go to one broker together: a request has one identity for all. */
export interface ProduceRequest {
  readonly identity: BatchIdentity;
  readonly batches: LaneBatch[];
}

/** All replicas that are in sync have it. */
const acksOfAll = -1;

/** Puts batches into as few requests as they need; it is one, but after trouble. */
export function toRequests(batches: readonly LaneBatch[]): readonly ProduceRequest[] {
  const requests = new Map<string, ProduceRequest>();
  for (const one of batches) {
    const { identity } = one.batch;
    const name = `${identity.producerId}/${identity.epoch}`;
    const request = requests.get(name);
    if (request) request.batches.push(one);
    else requests.set(name, { identity, batches: [one] });
  }
  return [...requests.values()];
}

/** Sends a request, and gives the answer for each of its batches, or why there is none. Never rejects. */
export async function produce(
  { connections, access, address }: { connections: Connections; access: Access; address: Address },
  { identity, batches }: ProduceRequest,
): Promise<readonly (BatchAnswer | Error | undefined)[]> {
  const { kafka, answerTimeoutMs } = access;
  const sequences = new kafka.NumericMap();
  const now = BigInt(Date.now());
  const records = batches.flatMap(({ lane, batch }) => {
    sequences.set(`${lane.topic}:${lane.partition}`, batch.sequence);
    for (const message of batch.messages) message.timestamp = now;
    return batch.messages;
  });
  const options = { producerId: identity.producerId, producerEpoch: identity.epoch, sequences };
  try {
    // The broker gives up waiting for replicas before we give up waiting for the broker.
    const waitMs = Math.floor(answerTimeoutMs / 2);
    const answer = await connections.ask(address, kafka.produceV9, acksOfAll, waitMs, records, options);
    if (typeof answer === "boolean") return [];
    const answers = new Map<string, BatchAnswer>();
    for (const { name, partitionResponses } of answer.responses)
      for (const response of partitionResponses) answers.set(`${name}:${response.index}`, response);
    return batches.map(({ lane }) => answers.get(`${lane.topic}:${lane.partition}`));
  } catch (error) {
    const failure = error instanceof Error ? error : new Error("there is no answer", { cause: error });
    return batches.map(() => failure);
  }
}
