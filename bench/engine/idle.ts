import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Candidate } from "./bench.ts";
import { openCountedWay } from "./wire-count.ts";

const settleMs = 2000;

/** How many queries a worker without work sends, counted on the wire between it and the server. */
export async function measureIdle(bench: Bench, candidate: Candidate): Promise<void> {
  const { server, plan, samples } = bench;
  const { description, template } = candidate;
  // Its own process: other measures may run at the same time.
  const host = candidate.host.again();
  const database = await server.postgres.createDatabase({ name: "idle", template });
  const way = await openCountedWay(database.url);
  try {
    await host.call("open", { url: way.url, inFlight: 1 });
    // What a worker does once, when it has come up, is not idling.
    await delay(settleMs);
    for (let round = 0; round < plan.idleRounds; round += 1) {
      const from = { queries: way.queries(), at: performance.now() };
      // Letting time pass is the measure itself.
      await delay(plan.idleMs);
      const seconds = (performance.now() - from.at) / 1000;
      samples.add(
        { measure: "idle_queries_per_s", inFlight: 0, system: description.name, unit: "1/s" },
        (way.queries() - from.queries) / seconds,
      );
    }
    await host.call("close");
  } finally {
    await host.kill();
    await way.close();
    await database.drop();
  }
}
