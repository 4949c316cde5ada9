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

/** A batch as bytes. */
interface WrittenBatch {
  readonly lane: Lane;
  readonly bytes: Buffer;
}

type Answer = BatchAnswer | Error | undefined;

/**
 * Sends batches in one request, and gives the answer for each of them, or why there is none. Never rejects. A batch that cannot be
 * written down, because a message of it was changed meanwhile, keeps none but its own partition waiting.
 */
export async function produce(
  { connections, access, address }: { connections: Connections; access: Access; address: Address },
  batches: readonly LaneBatch[],
): Promise<readonly Answer[]> {
  const answers = new Map<Lane, Answer>();
  const written: WrittenBatch[] = [];
  for (const { lane, batch } of batches) {
    try {
      written.push({ lane, bytes: toBytes(batch, access) });
    } catch (error) {
      answers.set(lane, toError(error));
    }
  }
  try {
    const answer =
      written.length > 0 ? await connections.ask(address, toProduceRequest(access, written)) : nothing;
    const byPlace = new Map<string, BatchAnswer>();
    for (const { name, partitionResponses } of answer.responses)
      for (const response of partitionResponses) byPlace.set(`${name}:${response.index}`, response);
    for (const { lane } of written) answers.set(lane, byPlace.get(`${lane.topic}:${lane.partition}`));
  } catch (error) {
    for (const { lane } of written) answers.set(lane, toError(error));
  }
  return batches.map(({ lane }) => answers.get(lane));
}

const nothing: Pick<ProduceResponse, "responses"> = { responses: [] };

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error("there is no answer", { cause: error });
}

function toBytes(batch: Batch, { kafka }: Access): Buffer {
  const checksum = (bytes: Buffer) => kafka.crc32c(kafka.Writer.create().append(bytes).dynamicBuffer);
  return toRecordsBatch(batch, BigInt(Date.now()), checksum);
}

/** The driver's request of that kind, with batches that are bytes already. */
function toProduceRequest(
  { kafka, answerTimeoutMs }: Access,
  batches: readonly WrittenBatch[],
): Request<[], ProduceResponse> {
  const topics = new Map<string, WrittenBatch[]>();
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
        writer.appendString(topic).appendArray(ofTopic, (_, { lane, bytes }) => {
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
