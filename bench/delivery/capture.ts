import type { TestPostgres } from "../../tools/servers/postgres.ts";
import { cpuMsOf } from "../counters.ts";
import type { Hosted } from "../hosted.ts";
import { Debezium } from "./debezium.ts";
import type { SagazCalls } from "./sagaz-host.ts";
import type { TopicEnd } from "./topic-end.ts";

/** Something that reads the log of a database and publishes to Kafka: ours or a peer. */
export interface Capture {
  readonly name: string;
  /** What is committed from now on comes by the log; nothing is sent yet. */
  prepare(url: string): Promise<void>;
  /** Sends what has come and what comes; resolves when the log is read. */
  begin(url: string): Promise<void>;
  /** Sends nothing more. Tells what CPU time it took since it began, in milliseconds, where that can be told. */
  end(url: string): Promise<number | undefined>;
}

/** Where captures meet. */
export interface CapturePlace {
  readonly postgres: TestPostgres;
  /** The database that parts get a copy of. */
  readonly template: string;
  /** Kafka's URL. */
  readonly kafka: string;
  readonly topicEnd: TopicEnd;
  readonly captures: readonly Capture[];
}

/** Our reader, in the process that has run it before. */
export function toOwnCapture(host: Hosted<SagazCalls>, kafka: string): Capture {
  return {
    name: "sagaz",
    prepare: (url) => host.call("makeSlot", url),
    begin: (url) => host.call("followLog", url, kafka),
    end: () => host.call("unfollow"),
  };
}

/** Debezium. It knows where it stands once it has published something: so it first publishes one event. */
export function toDebeziumCapture(
  debezium: Debezium,
  { host, topicEnd }: { readonly host: Hosted<SagazCalls>; readonly topicEnd: TopicEnd },
): Capture {
  let before: number | undefined;
  return {
    name: "debezium",
    async prepare(url) {
      await debezium.capture(url);
      const total = await topicEnd.total();
      await host.call("fill", url, 1);
      await topicEnd.comesTo(total + 1);
      await debezium.pause(url);
    },
    async begin(url) {
      before = await cpuMsOf(debezium.pid);
      await debezium.resume(url);
    },
    async end(url) {
      const now = await cpuMsOf(debezium.pid);
      await debezium.release(url);
      return now === undefined || before === undefined ? undefined : now - before;
    },
  };
}
