import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** From 32768 up the kernel hands ports out to outgoing connections, so a server there would collide now and then. */
const serverPorts = { min: 10_240, max: 32_767 };
const triesMax = 200;

/**
 * Finds a port of 127.0.0.1 that nothing listens on, below the range of client ports; the preferred one if it is free.
 *
 * Another program may take it before the server does, so whoever starts a server must be ready to ask again.
 *
 * @throws Error when 200 ports chosen at random are all taken.
 */
export async function findFreePort(preferred?: number, range = serverPorts): Promise<number> {
  if (preferred !== undefined && (await isFree(preferred))) return preferred;
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = randomInt(range.min, range.max + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port of 127.0.0.1 was found between ${range.min} and ${range.max}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
