/** Does something once. */
export type Way<Caller> = (caller: Caller) => Promise<void>;

/** Turns are short, so that a neighbour on the machine slows all ways alike. */
const turnMs = 100;

/** How often a second all callers together do each of these ways, in turns, until each has lasted for so long. */
export async function takeTurns<Caller, Name extends string>(
  ways: Readonly<Record<Name, Way<Caller>>>,
  callers: readonly Caller[],
  forMs: number,
): Promise<Readonly<Record<Name, number>>> {
  const sums = (Object.keys(ways) as Name[]).map((name) => ({ name, way: ways[name], times: 0, ms: 0 }));
  while (sums.some(({ ms }) => ms < forMs)) for (const sum of sums) await takeTurn(callers, sum);
  const perSecond = sums.map(({ name, times, ms }) => [name, (times / ms) * 1000] as const);
  return Object.fromEntries(perSecond) as Record<Name, number>;
}

/** What one way has come to. */
interface Sum<Caller> {
  readonly way: Way<Caller>;
  times: number;
  ms: number;
}

async function takeTurn<Caller>(callers: readonly Caller[], sum: Sum<Caller>): Promise<void> {
  const startedAt = performance.now();
  const goOn = async (caller: Caller) => {
    while (performance.now() - startedAt < turnMs) {
      await sum.way(caller);
      sum.times += 1;
    }
  };
  await Promise.all(callers.map(goOn));
  sum.ms += performance.now() - startedAt;
}
