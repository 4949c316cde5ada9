import { Logger, run, runMigrations, makeWorkerUtils, type Task } from "graphile-worker";
import { Redis } from "ioredis";
import { newEvent } from "./events.ts";
import { Meter } from "./meter.ts";
import { mustBeEmpty } from "./must-be-empty.ts";
import { batchSize } from "./plan.ts";
import { withCpu, type Relaying, type RelayTask, type Target } from "./relaying.ts";

/** The fastest of those tried on two cores: queues of 500 to 20,000, 5 to 1,000 jobs at a time, delays of 0 to 250 ms. */
const settings = { concurrentJobs: 100, localQueueSize: 5_000, completeJobBatchDelay: 100, poolSize: 10 };

const quiet = new Logger(() => (level, message) => {
  if (String(level) === "error") console.error(message);
});

/** An event as a job carries it. */
interface Job {
  readonly topic: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: unknown;
}

/** A job queue used as an outbox: jobs are added in the business transaction, and a task publishes each. */
export const graphileRelay: Relaying = {
  name: "graphile-worker",
  tuning:
    `0.17.3; local queue of ${settings.localQueueSize}, ${settings.concurrentJobs} jobs at a time, completions ` +
    `gathered for ${settings.completeJobBatchDelay} ms, pool of ${settings.poolSize}; jobs without queue names, so without an order`,
  install: (url) => runMigrations({ connectionString: url, logger: quiet }),
  fill,
  relay,
};

async function fill(url: string, events: number): Promise<void> {
  const utils = await makeWorkerUtils({ connectionString: url, logger: quiet });
  for (let first = 0; first < events; first += batchSize) {
    const jobs = Array.from({ length: Math.min(batchSize, events - first) }, (_, n) => toJob(first + n));
    await utils.addJobs(jobs.map((payload) => ({ identifier: "publish", payload })));
  }
  await utils.release();
}

/** With the headers that our relay gives a message. */
function toJob(n: number): Job {
  const { topic, type, key, payload } = newEvent(n);
  const headers = {
    ce_specversion: "1.0",
    ce_id: crypto.randomUUID(),
    ce_type: type,
    ce_source: "/bench",
    ce_time: new Date().toISOString(),
    "content-type": "application/json",
    ce_subject: key,
  };
  return { topic, key, headers, payload };
}

async function relay({ url, target, events }: RelayTask) {
  const meter = new Meter({ expected: events, lot: settings.localQueueSize });
  const publisher = openPublisher(target);
  const task: Task = async (payload) => {
    await publisher.publish(payload as Job);
    meter.note(1);
  };
  const [, nodeCpuMs] = await withCpu(async () => {
    const runner = await run({
      connectionString: url,
      noHandleSignals: true,
      logger: quiet,
      concurrency: settings.concurrentJobs,
      maxPoolSize: settings.poolSize,
      taskList: { publish: task },
      preset: {
        worker: {
          localQueue: { size: settings.localQueueSize },
          completeJobBatchDelay: settings.completeJobBatchDelay,
        },
      },
    });
    await meter.done;
    await runner.stop();
  });
  publisher.close();
  await mustBeEmpty(url, "graphile_worker._private_jobs");
  return { perSecond: meter.perSecond(), nodeCpuMs };
}

/** How a task gets rid of its message. */
interface Publisher {
  publish(job: Job): Promise<unknown>;
  close(): void;
}

function openPublisher(target: Target): Publisher {
  if (target.kind === "noop") return { publish: async () => {}, close: () => {} };
  if (target.name !== "redis") throw new Error(`There is no task for ${target.name}.`);
  // Jobs that run at the same time share a round trip.
  const redis = new Redis(target.url, { enableAutoPipelining: true });
  return {
    publish: ({ topic, key, headers, payload }) =>
      redis.xadd(
        topic,
        "*",
        "key",
        key,
        "headers",
        JSON.stringify(headers),
        "payload",
        JSON.stringify(payload),
      ),
    close: () => redis.disconnect(),
  };
}
