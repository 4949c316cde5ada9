import type { Bench } from "./bench.ts";
import { startLoggedPostgres, withLoggedDatabase } from "./logged-database.ts";
import { batchSize } from "./plan.ts";
import type { Target } from "./relaying.ts";

/** Reading the log, to nobody and to each broker. */
export async function measureCdc(bench: Bench): Promise<void> {
  const { plan, sagaz, brokers, progress } = bench;
  if (!plan.parts.includes("cdc")) return;
  const postgres = await startLoggedPostgres();
  const targets: Target[] = [
    { kind: "noop" },
    ...brokers.map(({ name, server }): Target => ({ kind: "broker", name, url: server.url })),
  ];
  try {
    const template = await postgres.createTemplate("cdc", (url) => sagaz.host.call("install", url));
    for (let round = 0; round < plan.rounds; round += 1) {
      for (const target of targets) {
        progress(`round ${round + 1}/${plan.rounds}: the log to ${nameOf(target)}`);
        await withLoggedDatabase(postgres, { name: "cdc", template }, (url) =>
          timeReader(bench, url, target),
        );
      }
    }
  } finally {
    await postgres.stop();
  }
}

function nameOf(target: Target): string {
  return target.kind === "noop" ? "noop" : target.name;
}

async function timeReader(
  { plan, sagaz, brokers, samples }: Bench,
  url: string,
  target: Target,
): Promise<void> {
  const { backlog: events } = plan;
  await sagaz.host.call("makeSlot", url);
  await sagaz.host.call("fill", url, events);
  const { perSecond, nodeCpuMs } = await sagaz.host.call("readLog", { url, target, events });
  const subject = { inFlight: batchSize, system: "sagaz" };
  const measure = `cdc_${nameOf(target)}`;
  samples.add({ ...subject, measure: `${measure}_per_s`, unit: "1/s" }, perSecond);
  const each = (nodeCpuMs * 1000) / events;
  samples.add({ ...subject, measure: `${measure}_node_cpu_per_event`, unit: "µs" }, each);
  if (target.kind === "broker") await brokers.find(({ name }) => name === target.name)?.empty(target.url);
}
