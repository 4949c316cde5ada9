import type { BatchAnswer } from "./batch-answer.ts";
import type { Access, Address, Connections } from "./connections.ts";
import type { ProduceResponse, Request } from "./driver.ts";
import type { Batch, Lane } from "./lane.ts";
import { toRecordsBatch } from "./records-batch.ts";

/** A batch, and whose it is. */
export interface LaneBatch {
  readonly lane: Lane;
  readonly batch: Batch;
}

/** All replicas that are in sync have it. */
const acksOfAll = -1;

/** Sends batches in one request, and gives the answer for each of them, or why there is none. Never rejects. */
export async function produce(
  { connections, access, address }: { connections: Connections; access: Access; address: Address },
  batches: readonly LaneBatch[],
): Promise<readonly (BatchAnswer | Error | undefined)[]> {
  try {
    const answer = await connections.ask(address, toProduceRequest(access, batches));
    const answers = new Map<string, BatchAnswer>();
    for (const { name, partitionResponses } of answer.responses)
      for (const response of partitionResponses) answers.set(`${name}:${response.index}`, response);
    return batches.map(({ lane }) => answers.get(`${lane.topic}:${lane.partition}`));
  } catch (error) {
    const failure = error instanceof Error ? error : new Error("there is no answer", { cause: error });
    return batches.map(() => failure);
  }
}

/** The driver's request of that kind, with batches that are bytes already. */
function toProduceRequest(
  { kafka, answerTimeoutMs }: Access,
  batches: readonly LaneBatch[],
): Request<[], ProduceResponse> {
  const now = BigInt(Date.now());
  const checksum = (bytes: Buffer) => kafka.crc32c(kafka.Writer.create().append(bytes).dynamicBuffer);
  const topics = new Map<string, LaneBatch[]>();
  for (const one of batches) {
    const { topic } = one.lane;
    topics.set(topic, [...(topics.get(topic) ?? []), one]);
  }
  const create = () =>
    kafka.Writer.create()
      .appendString(null) // no transaction
      .appendInt16(acksOfAll)
      // The broker gives up waiting for replicas before we give up waiting for the broker.
      .appendInt32(Math.floor(answerTimeoutMs / 2))
      .appendArray([...topics], (writer, [topic, ofTopic]) => {
        writer.appendString(topic).appendArray(ofTopic, (_, { lane, batch }) => {
          const bytes = toRecordsBatch(batch, now, checksum);
          writer
            .appendInt32(lane.partition)
            .appendUnsignedVarInt(bytes.length + 1)
            .append(bytes);
        });
      })
      .appendTaggedFields();
  const { key, version } = kafka.produceV9.api;
  return { api: kafka.createAPI<[], ProduceResponse>(key, version, create, kafka.produceV9.parseResponse) };
}
