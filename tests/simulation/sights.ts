import type { Sight, Sights } from "../../packages/sagaz/src/testing/simulator/history.ts";

/** Every kind of thing that a run of many seeds has to see: one that saw none of a kind has not tested it. */
export const sightsDemanded: readonly Sight[] = [
  "histories",
  "sagas",
  "children",
  "forks",
  "events",
  "crashes",
  "takeovers",
  "stops",
  "pauses",
  "skews",
  "outages",
  "unavailable",
  "lost acks",
  "stragglers",
  "refused writes",
  "fenced writes",
  "duplicate mails",
  "duplicate starts",
  "requests",
  "refusals",
  "calls",
  "refused calls",
  "lost replies",
  "silent calls",
  "late calls",
  "zombie calls",
  "repeated calls",
  "late effects",
  "undos",
  "pivots",
  "parks",
  "crash loops",
  "missing definitions",
  "full tenants",
  "completed",
  "compensated",
  "exceptions",
  "force closed",
  "outbox events",
  "rollbacks",
  "broker outages",
  "broker refusals",
  "cut subscriptions",
  "duplicate messages",
  "effects",
  "dead letters",
  "commands done",
  "commands undone",
  "commands declined",
  "commands refused",
  "unknown answers",
  "commands given up",
  "lost messages",
  "late messages",
  "new rounds",
];

/** Kinds that were not seen. */
export function unseen(sights: Sights): readonly Sight[] {
  return sightsDemanded.filter((sight) => !sights[sight]);
}

/** What was seen, for people. */
export function toLines(sights: Sights): readonly string[] {
  const cells = sightsDemanded.map((sight) => `${(sights[sight] ?? 0).toLocaleString("en")} ${sight}`);
  const lines: string[] = [];
  for (let i = 0; i < cells.length; i += 6) lines.push(`  ${cells.slice(i, i + 6).join(" · ")}`);
  return lines;
}
