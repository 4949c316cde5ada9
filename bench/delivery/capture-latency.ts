import type { Hosted } from "../hosted.ts";
import { quantile } from "../quantile.ts";
import type { Bench } from "./bench.ts";
import type { Capture, CapturePlace } from "./capture.ts";
import { takeTurns } from "./capture-turns.ts";
import { emptyTopic } from "./kafka-client.ts";
import { toLatencies } from "./latencies.ts";
import { withLoggedDatabase } from "./logged-database.ts";
import { pacePerSecond, paceWarmMs } from "./plan.ts";
import type { SagazCalls } from "./sagaz-host.ts";

/** Who writes and who receives, in processes of their own. */
interface Ends {
  readonly producer: Hosted<SagazCalls>;
  readonly consumer: Hosted<SagazCalls>;
}

/**
 * How long it takes from a commit until a consumer of Kafka has the event; a first round only compiles. Before
 * each, how long a message takes without a database: below that no capture can go on this machine at this time.
 */
export async function measureLatency(bench: Bench, place: CapturePlace): Promise<void> {
  const { plan, sagaz, samples } = bench;
  const ends = { producer: sagaz.host.again(), consumer: sagaz.host.again() };
  const note = (measure: string, system: string, latencies: readonly number[]) => {
    const subject = { inFlight: pacePerSecond, system, unit: "ms" };
    samples.add({ ...subject, measure: `${measure}_p50` }, quantile(latencies, 0.5));
    samples.add({ ...subject, measure: `${measure}_p99` }, quantile(latencies, 0.99));
  };
  const take = async (capture: Capture, round: number) => {
    const alone = await observeAlone(bench, place, ends);
    const latencies = await observe(bench, place, { capture, ends });
    if (round === 0) return;
    note("commit_to_consumed", capture.name, latencies);
    note("handed_to_consumed", "adapter", alone);
  };
  try {
    await takeTurns(bench, place, { what: "commit to consumed", rounds: plan.rounds + 1, take });
  } finally {
    await Promise.all([ends.producer.kill(), ends.consumer.kill()]);
  }
}

async function observe(
  { plan }: Bench,
  { postgres, template, kafka }: CapturePlace,
  { capture, ends: { producer, consumer } }: { readonly capture: Capture; readonly ends: Ends },
): Promise<number[]> {
  let latencies: number[] = [];
  await withLoggedDatabase(postgres, { name: "capture", template }, async (url) => {
    await capture.prepare(url);
    await emptyTopic(kafka);
    await capture.begin(url);
    await consumer.call("listen", kafka);
    const before = await producer.call("writePaced", url, paceWarmMs);
    const committed = await producer.call("writePaced", url, plan.paceMs);
    const received = await consumer.call("heard", before.length + committed.length);
    latencies = toLatencies(committed, received);
    await capture.end(url);
  });
  return latencies;
}

async function observeAlone(
  { plan }: Bench,
  { kafka }: CapturePlace,
  { producer, consumer }: Ends,
): Promise<number[]> {
  await emptyTopic(kafka);
  await consumer.call("listen", kafka);
  const before = await producer.call("handPaced", kafka, paceWarmMs);
  const handed = await producer.call("handPaced", kafka, plan.paceMs);
  return toLatencies(handed, await consumer.call("heard", before.length + handed.length));
}
