import { SagaError } from "../../core/errors.ts";

/** Kafka's error codes that are told apart here: https://kafka.apache.org/protocol#protocol_error_codes. */
export const codes = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  requestTimedOut: 7,
  messageTooLarge: 10,
  coordinatorLoading: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  invalidTopic: 17,
  recordListTooLarge: 18,
  notEnoughReplicasAfterAppend: 20,
  illegalGeneration: 22,
  unknownMember: 25,
  rebalanceInProgress: 27,
  invalidTimestamp: 32,
  topicExists: 36,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  invalidProducerIdMapping: 49,
  unknownProducerId: 59,
  memberIdRequired: 79,
  invalidRecord: 87,
} as const;

/** What the codes say that a user may have to act on. */
const sentences: Readonly<Record<number, string>> = {
  3: "the partition is not there",
  5: "the partition has no leader",
  6: "the broker does not lead the partition any more",
  7: "the replicas did not answer in time",
  14: "the broker that keeps it is not ready yet",
  15: "no broker keeps it yet",
  16: "another broker keeps it now",
  19: "fewer replicas are in sync than min.insync.replicas asks for",
  20: "fewer replicas were in sync than min.insync.replicas asks for",
  23: "the group has members of another kind: use another group",
  24: "the group's name is refused",
  26: "sessionTimeoutMs is outside of what the broker allows (group.min.session.timeout.ms)",
  29: "the user may not use the topic",
  30: "the user may not use the group",
  31: "the user may not use the cluster",
  37: "the number of partitions is refused",
  38: "the number of replicas is refused",
  44: "a policy of the broker refuses it",
  81: "the group has its maximum of members",
};

/** What an error code means, for people. */
export function toSentence(code: number): string {
  return sentences[code] ?? `Kafka's error code ${code}`;
}

/** An outage, told with what is known of its cause. */
export function unavailable(cause: unknown): SagaError {
  if (cause instanceof SagaError) return cause;
  return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: "Kafka", message: describe(cause) });
}

/** What is known of an outage's cause. No error of the driver holds a login. */
export function describe(cause: unknown): string {
  if (typeof cause === "string") return cause;
  if (!(cause instanceof SagaError)) return listMessages(cause).join(": ");
  const { message } = cause.details;
  return typeof message === "string" ? message : cause.message;
}

/** The driver wraps its errors; what matters is what it found at the bottom. */
function listMessages(error: unknown): string[] {
  if (error instanceof AggregateError)
    return [error.message, ...error.errors.slice(0, 1).flatMap(listMessages)];
  return error instanceof Error ? [error.message, ...listMessages(error.cause)] : [];
}
