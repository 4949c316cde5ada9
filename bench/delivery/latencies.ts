import type { Times } from "./paced.ts";

/**
 * How long each event took from its commit until it was published, in milliseconds, ascending.
 *
 * @throws Error when one was never published.
 */
export function toLatencies(committed: Times, published: Times): number[] {
  const publishedAt = new Map(published);
  const latencies = committed.map(([eventId, at]) => {
    const until = publishedAt.get(eventId);
    if (until === undefined) throw new Error(`Event ${eventId} was committed and not published.`);
    return until - at;
  });
  return latencies.sort((a, b) => a - b);
}
