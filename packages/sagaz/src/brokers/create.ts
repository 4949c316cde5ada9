import { SagaError } from "../core/errors.ts";
import type { MessageBroker } from "../ports/broker.ts";

/** How to open a broker, by the scheme of its URL. Adapters and drivers are loaded when they are asked for. */
const openers: Readonly<Record<string, (url: string) => Promise<MessageBroker>>> = {
  "memory:": openMemory,
};

/**
 * Makes the broker that a URL names; it is started by whoever uses it.
 *
 * `memory:`.
 *
 * @throws SagaError `SAGAZ_UNKNOWN_BROKER`. No error shows the URL: there may be a password in it.
 */
export async function createBroker(url: string): Promise<MessageBroker> {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0].toLowerCase() ?? "";
  const open = Object.hasOwn(openers, scheme) ? openers[scheme] : undefined;
  if (open === undefined)
    throw new SagaError("SAGAZ_UNKNOWN_BROKER", { scheme, known: Object.keys(openers).join(" ") });
  return open(url);
}

async function openMemory(): Promise<MessageBroker> {
  const { InMemoryBroker } = await import("./memory/index.ts");
  return new InMemoryBroker();
}
