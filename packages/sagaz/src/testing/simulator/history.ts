/** What a run is made of can be counted: a run that saw none of one kind has not tested it. */
export type Sight =
  | "histories"
  | "sagas"
  | "children"
  | "forks"
  | "events"
  | "crashes"
  | "takeovers"
  | "stops"
  | "pauses"
  | "skews"
  | "outages"
  | "unavailable"
  | "lost acks"
  | "stragglers"
  | "refused writes"
  | "fenced writes"
  | "duplicate mails"
  | "duplicate starts"
  | "requests"
  | "refusals"
  | "calls"
  | "refused calls"
  | "lost replies"
  | "silent calls"
  | "late calls"
  | "zombie calls"
  | "repeated calls"
  | "late effects"
  | "undos"
  | "pivots"
  | "parks"
  | "crash loops"
  | "missing definitions"
  | "full tenants"
  | "completed"
  | "compensated"
  | "exceptions"
  | "force closed"
  | "outbox events"
  | "rollbacks"
  | "broker outages"
  | "broker refusals"
  | "cut subscriptions"
  | "duplicate messages"
  | "effects"
  | "dead letters"
  | "commands done"
  | "commands undone"
  | "commands declined"
  | "commands refused"
  | "unknown answers"
  | "commands given up"
  | "lost messages"
  | "late messages"
  | "new rounds";

/** How often each kind was seen. */
export type Sights = Partial<Record<Sight, number>>;

/** A law that a run broke: which, and how. */
export interface Breach {
  readonly law: string;
  readonly detail: string;
}

/** Lines before the first breach that are worth showing. */
const tailLines = 60;
/** More breaches of one run tell nothing new. */
const breachesMax = 5;

/** What happened in one run, in order; two runs of one seed must tell the same. */
export class History {
  readonly lines: string[] = [];
  readonly sights: Sights = { histories: 1 };
  readonly breaches: Breach[] = [];
  readonly #now: () => number;
  readonly #from: number;
  #breachedAt: number | undefined;

  constructor(clock: { monotonic(): number }) {
    this.#now = () => clock.monotonic();
    this.#from = clock.monotonic();
  }

  note(line: string): void {
    this.lines.push(`${this.#now() - this.#from} ${line}`);
  }

  saw(sight: Sight, count = 1): void {
    this.sights[sight] = (this.sights[sight] ?? 0) + count;
  }

  breach(law: string, detail: string): void {
    this.note(`BREACH ${law}: ${detail}`);
    this.#breachedAt ??= this.lines.length;
    if (this.breaches.length < breachesMax) this.breaches.push({ law, detail });
  }

  /** The lines up to the first breach, or the last ones. */
  tail(count = tailLines): readonly string[] {
    const end = this.#breachedAt ?? this.lines.length;
    return this.lines.slice(Math.max(0, end - count), end);
  }
}

/** Adds up what several runs saw. */
export function addSights(total: Sights, more: Sights): void {
  for (const [sight, count] of Object.entries(more) as [Sight, number][])
    total[sight] = (total[sight] ?? 0) + count;
}
