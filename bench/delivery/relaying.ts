/** Where a relay sends to. */
export type Target =
  | { readonly kind: "noop" }
  /** A broker of ours or a peer's way to it, by its URL. */
  | { readonly kind: "broker"; readonly name: string; readonly url: string };

/** What a relay must do. */
export interface RelayTask {
  readonly url: string;
  readonly target: Target;
  /** How many events wait there: all of them are to be sent. */
  readonly events: number;
}

/** What came of it. */
export interface Relayed {
  readonly perSecond: number;
  /** CPU time of the process, user and system, in milliseconds; from starting to having stopped. */
  readonly nodeCpuMs: number;
}

/** Something that moves events from tables to a broker: ours or a peer. */
export interface Relaying {
  readonly name: string;
  /** Version and the settings that matter, in one line for the report. */
  readonly tuning: string;
  /** Creates its tables in an empty database. */
  install(url: string): Promise<void>;
  /** Adds events, in transactions of 1,000. */
  fill(url: string, events: number): Promise<void>;
  /**
   * Sends all that waits.
   *
   * @throws Error when other than all of it was sent, each once, and noted.
   */
  relay(task: RelayTask): Promise<Relayed>;
}

/** What the bench can ask of a process with a relay. */
export interface RelayCalls {
  describe(): Promise<Pick<Relaying, "name" | "tuning">>;
  install(url: string): Promise<void>;
  fill(url: string, events: number): Promise<void>;
  relay(task: RelayTask): Promise<Relayed>;
}

/** The calls that any relay answers alike. */
export function toRelayCalls(relaying: Relaying): RelayCalls {
  return {
    describe: async () => ({ name: relaying.name, tuning: relaying.tuning }),
    install: (url) => relaying.install(url),
    fill: (url, events) => relaying.fill(url, events),
    relay: (task) => relaying.relay(task),
  };
}

/** Runs something and tells what CPU time it took this process, in milliseconds. */
export async function withCpu<T>(run: () => Promise<T>): Promise<readonly [result: T, cpuMs: number]> {
  const before = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(before);
  return [result, (user + system) / 1000];
}
