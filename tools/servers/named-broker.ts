import type { TestBroker } from "./scratch-broker.ts";

/** A running server that the environment names. */
export interface NamedServer {
  readonly url: string;
  /** The environment variable that names it. */
  readonly variable: string;
}

/** What a test wants of the broker that it looks for. */
export interface FindBrokerOptions {
  /** True finds the programs of a server of our own even when the environment names one: fault tests kill and freeze it. */
  readonly own?: boolean;
}

/** The server that the environment variable names, unless one of our own is wanted. */
export function findNamedServer(
  variable: string,
  { own = false }: FindBrokerOptions,
): NamedServer | undefined {
  const url = process.env[variable] ?? "";
  return url === "" || own ? undefined : { url, variable };
}

/** A broker that is not ours: it can be used, not broken, and `stop` leaves it alone. */
export function useNamedServer({ url, variable }: NamedServer, defaultPort: number): TestBroker {
  const refuse = (): never => {
    throw new Error(`The server in ${variable} is not ours; find one with { own: true } to break it.`);
  };
  return {
    url,
    port: Number(/:(\d+)(?=[/,?]|$)/.exec(url)?.[1] ?? defaultPort),
    isOwn: false,
    get pid(): number {
      return refuse();
    },
    restart: refuse,
    kill: refuse,
    pause: refuse,
    resume: refuse,
    stop: async () => {},
    log: refuse,
  };
}
