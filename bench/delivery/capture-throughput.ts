import type { Bench } from "./bench.ts";
import type { Capture, CapturePlace } from "./capture.ts";
import { takeTurns } from "./capture-turns.ts";
import { emptyTopic } from "./kafka-client.ts";
import { withLoggedDatabase } from "./logged-database.ts";
import { batchSize } from "./plan.ts";

/** How fast a backlog in the log comes to Kafka; a first round is not counted, since it only compiles. */
export async function measureThroughput(bench: Bench, place: CapturePlace): Promise<void> {
  const { plan, samples } = bench;
  if (place.captures.length === 1) return;
  const take = async (capture: Capture, round: number) => {
    const { perSecond, cpuMs } = await time(bench, place, capture);
    if (round === 0) return;
    const subject = { inFlight: batchSize, system: capture.name };
    samples.add({ ...subject, measure: "log_to_kafka_per_s", unit: "1/s" }, perSecond);
    const each = cpuMs === undefined ? undefined : (cpuMs * 1000) / plan.captured;
    samples.add({ ...subject, measure: "log_to_kafka_cpu_per_event", unit: "µs" }, each);
  };
  await takeTurns(bench, place, { what: "the log to kafka", rounds: plan.rounds + 1, take });
}

async function time(
  { plan, sagaz }: Bench,
  { postgres, template, kafka, topicEnd }: CapturePlace,
  capture: Capture,
): Promise<{ readonly perSecond: number; readonly cpuMs: number | undefined }> {
  let perSecond = Number.NaN;
  let cpuMs: number | undefined;
  await withLoggedDatabase(postgres, { name: "capture", template }, async (url) => {
    await capture.prepare(url);
    await sagaz.host.call("fill", url, plan.captured);
    const arriving = topicEnd.measure(plan.captured);
    await capture.begin(url);
    perSecond = await arriving;
    cpuMs = await capture.end(url);
  });
  await emptyTopic(kafka);
  return { perSecond, cpuMs };
}
