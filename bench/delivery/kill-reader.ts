import { runSql } from "../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import type { Bench } from "./bench.ts";
import type { CapturePlace } from "./capture.ts";
import { emptyTopic } from "./kafka-client.ts";
import { withLoggedDatabase } from "./logged-database.ts";
import { batchSize } from "./plan.ts";

/** What a crash has cost. */
interface Damage {
  readonly lost: number;
  readonly twice: number;
}

/** kill -9 of our reader when half of a backlog is in Kafka; another one sends the rest. Of several times the worst counts. */
export async function killReader(bench: Bench, place: CapturePlace): Promise<void> {
  const { plan, samples, progress } = bench;
  const damages: Damage[] = [];
  for (let round = 0; round < plan.kills; round += 1) {
    progress(`${round + 1}/${plan.kills}: kill -9 in the middle of ${plan.killed} events`);
    await withLoggedDatabase(place.postgres, { name: "kill", template: place.template }, async (url) => {
      damages.push(await kill(bench, place, url));
    });
  }
  const subject = { inFlight: batchSize, system: "sagaz", unit: "" };
  samples.add({ ...subject, measure: "kill_lost" }, Math.max(...damages.map(({ lost }) => lost)));
  samples.add({ ...subject, measure: "kill_twice" }, Math.max(...damages.map(({ twice }) => twice)));
}

async function kill({ plan, sagaz }: Bench, { kafka, topicEnd }: CapturePlace, url: string): Promise<Damage> {
  const { host } = sagaz;
  const events = plan.killed;
  await emptyTopic(kafka);
  await host.call("makeSlot", url);
  await host.call("fill", url, events);
  const before = await topicEnd.total();
  const victim = host.again();
  await victim.call("followLog", url, kafka);
  await topicEnd.comesTo(before + events / 2);
  await victim.kill();
  await host.call("followLog", url, kafka);
  const isSent = async () =>
    (await runSql(url, "SELECT FROM sagaz.saga_outbox_pending LIMIT 1"))[0]?.rowCount === 0;
  await waitUntil("the rest is sent", isSent, { withinMs: 120_000, everyMs: 50 });
  await host.call("unfollow");
  const listener = host.again();
  await listener.call("listen", kafka);
  const received = await listener.call("heard", (await topicEnd.total()) - before);
  await listener.kill();
  const ids = new Set(received.map(([id]) => id));
  return { lost: events - ids.size, twice: received.length - ids.size };
}
