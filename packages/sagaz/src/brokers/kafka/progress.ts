import type { Coordinator } from "./coordinator.ts";

/** How far a group has come in a partition: everything below is done. */
export interface Progress {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

/** As the request to record it wants it. */
export function toCommit(progress: readonly Progress[]) {
  return byTopic(progress).map(([name, parts]) => ({
    name,
    partitions: parts.map(({ partition, offset }) => ({
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: -1,
      committedMetadata: null,
    })),
  }));
}

/** What a group has recorded of these partitions; what it has not begun is left out. */
export async function findProgress(
  coordinator: Coordinator,
  wanted: readonly Pick<Progress, "topic" | "partition">[],
): Promise<readonly Progress[]> {
  const topics = byTopic(wanted).map(([name, parts]) => ({
    name,
    partitionIndexes: parts.map(({ partition }) => partition),
  }));
  const groups = [{ groupId: coordinator.group, memberEpoch: -1, topics }];
  const answer = await coordinator.ask(coordinator.kafka.offsetFetchV8, groups, false);
  for (const group of answer.groups) coordinator.check(group.errorCode);
  return answer.groups
    .flatMap((group) => group.topics)
    .flatMap(({ name: topic, partitions }) => {
      for (const { errorCode } of partitions) coordinator.check(errorCode);
      return partitions.map(({ partitionIndex, committedOffset }) => ({
        topic,
        partition: partitionIndex,
        offset: committedOffset,
      }));
    })
    .filter(({ offset }) => offset >= 0n);
}

function byTopic<One extends { readonly topic: string }>(
  all: readonly One[],
): [topic: string, ones: One[]][] {
  const topics = new Map<string, One[]>();
  for (const one of all) {
    const ones = topics.get(one.topic) ?? [];
    ones.push(one);
    topics.set(one.topic, ones);
  }
  return [...topics];
}
