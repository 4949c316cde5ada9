import type { Cluster } from "./cluster.ts";
import type { Connections } from "./connections.ts";
import { codes, toSentence, unavailable } from "./error-codes.ts";
import type { Feed } from "./feed.ts";
import type { Membership } from "./membership.ts";
import type { Topics } from "./topics.ts";

/** What is asked to find out where feeds begin. */
export interface LocatingParts {
  readonly cluster: Cluster;
  readonly topics: Topics;
  readonly membership: Membership;
}

const earliest = -2n;

/**
 * Finds out where new feeds begin: where the group has come to, else with the oldest message that is kept. That is also
 * where one goes on whose place is gone, be it that its messages were deleted or that the log was cut: nothing is left out.
 *
 * @throws SagaError `SAGAZ_BROKER_UNAVAILABLE`; some may have been located.
 */
export async function locate(
  feeds: readonly Feed[],
  connections: Connections,
  parts: LocatingParts,
): Promise<void> {
  const known = feeds.filter(({ isLost }) => !isLost);
  const progress = known.length > 0 ? await parts.membership.findProgress(known) : [];
  for (const feed of known)
    feed.position = progress.find((at) => at.topic === feed.topic && at.partition === feed.partition)?.offset;
  const others = feeds.filter(({ position }) => position === undefined);
  await Promise.all(others.map((feed) => begin(feed, connections, parts)));
}

async function begin(
  feed: Feed,
  connections: Connections,
  { topics, cluster }: LocatingParts,
): Promise<void> {
  const { topic: name, partition: partitionIndex } = feed;
  const address = topics.leaderOf(name, partitionIndex);
  if (!address) throw unavailable(toSentence(codes.leaderNotAvailable));
  const partitions = [{ partitionIndex, currentLeaderEpoch: -1, timestamp: earliest }];
  const api = cluster.access.kafka.listOffsetsV7;
  const answer = await connections.ask(address, api, -1, 0, [{ name, partitions }]);
  const found = answer.topics[0]?.partitions[0];
  if (found?.errorCode !== codes.none)
    throw unavailable(toSentence(found?.errorCode ?? codes.leaderNotAvailable));
  feed.position = found.offset;
  feed.isLost = false;
}
