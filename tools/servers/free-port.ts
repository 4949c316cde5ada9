import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Ports from 32768 up are handed out by the kernel to outgoing connections, so a server there may collide. */
const portMin = 10_240;
const portMax = 32_767;
const triesMax = 200;

/**
 * Finds a port of 127.0.0.1 that nothing listens on, below the range of client ports.
 *
 * Somebody else may take it before the server does; whoever starts a server tries again with another port then.
 *
 * @throws Error when 200 ports chosen at random are all taken.
 */
export async function findFreePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = randomInt(portMin, portMax + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port of 127.0.0.1 found between ${portMin} and ${portMax}.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
