import type * as driver from "@platformatic/kafka";

/**
 * What is used of `@platformatic/kafka` (1.35 or later): its connections, and requests of Kafka's protocol, each in one
 * version that brokers from 3.1 to 4.x speak. Pass the module itself: `import * as kafka from "@platformatic/kafka"`.
 *
 * Why its `Producer` and `Consumer` are not: `docs/decisions/0008-kafka-client.md`.
 */
export type KafkaDriver = Pick<
  typeof driver,
  | "Connection"
  | "Writer"
  | "crc32c"
  | "createAPI"
  | "createTopicsV7"
  | "fetchV12"
  | "findCoordinatorV4"
  | "heartbeatV4"
  | "initProducerIdV4"
  | "joinGroupV7"
  | "leaveGroupV4"
  | "listOffsetsV7"
  | "metadataV12"
  | "offsetCommitV8"
  | "offsetFetchV8"
  | "produceV9"
  | "syncGroupV5"
>;

/** A kind of request, as the driver has it. */
export interface Request<Args extends unknown[], Answer> {
  readonly api: { readonly async: (connection: driver.Connection, ...args: Args) => Promise<Answer> };
}

export type { Connection, RecordsBatch } from "@platformatic/kafka";

/** What a broker answers when something is published. */
export type ProduceResponse = ReturnType<typeof driver.produceV9.parseResponse>;

/** What is fetched. */
export type FetchResponse = ReturnType<typeof driver.fetchV12.parseResponse>;

/** What is fetched of one partition. */
export type FetchedPartition = FetchResponse["responses"][number]["partitions"][number];
