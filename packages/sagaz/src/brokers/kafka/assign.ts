import type { MemberWishes, Partitions } from "./group-protocol.ts";

/** A member of a group. */
export interface Member extends MemberWishes {
  readonly id: string;
}

interface Load {
  readonly member: Member;
  readonly partitions: Map<string, number[]>;
  count: number;
}

/**
 * Shares the partitions of all topics among the members of a group: evenly, and so that who had a partition keeps it if
 * that is fair.
 *
 * Members that want the same topics get numbers of partitions that differ by one at most.
 */
export function assign(
  members: readonly Member[],
  partitionsOf: ReadonlyMap<string, number>,
): ReadonlyMap<string, Partitions> {
  const loads = [...members]
    .sort((one, two) => (one.id < two.id ? -1 : 1))
    .map((member): Load => ({ member, partitions: new Map(), count: 0 }));
  const free = new Set(
    Array.from(partitionsOf).flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition) => toName(topic, partition)),
    ),
  );
  const least = Math.floor(free.size / loads.length);
  let more = free.size % loads.length;
  for (const load of loads) {
    keep(load, free, least);
    if (more > 0 && keep(load, free, least + 1)) more -= 1;
  }
  for (const name of free) give(loads, ...fromName(name));
  return new Map(loads.map(({ member, partitions }) => [member.id, partitions]));
}

/** Lets a member keep what it had, up to so many. True when it then has so many. */
function keep(load: Load, free: Set<string>, countMax: number): boolean {
  for (const [topic, partitions] of load.member.owned)
    for (const partition of partitions) {
      if (load.count === countMax) return true;
      if (load.member.topics.includes(topic) && free.delete(toName(topic, partition)))
        add(load, topic, partition);
    }
  return load.count === countMax;
}

/** Gives a partition to the one who has least of those who want it. */
function give(loads: readonly Load[], topic: string, partition: number): void {
  let best: Load | undefined;
  for (const load of loads)
    if (load.member.topics.includes(topic) && (!best || load.count < best.count)) best = load;
  if (best) add(best, topic, partition);
}

function add(load: Load, topic: string, partition: number): void {
  const partitions = load.partitions.get(topic) ?? [];
  partitions.push(partition);
  load.partitions.set(topic, partitions);
  load.count += 1;
}

function toName(topic: string, partition: number): string {
  return `${topic}:${partition}`;
}

function fromName(name: string): [topic: string, partition: number] {
  const colon = name.lastIndexOf(":");
  return [name.slice(0, colon), Number(name.slice(colon + 1))];
}
