import { runSql } from "../../tools/servers/postgres-databases.ts";
import { answerCalls } from "../answer-calls.ts";
import { listen, type Listener } from "./listen.ts";
import { keepHistory } from "./keep-history.ts";
import { handPaced, publishPaced, watch, writePaced, type Times } from "./paced.ts";
import { checkDuplicates, insertBatches, processBatches } from "./process-inbox.ts";
import { accountsSql, produce, type Produced, type ProduceTask } from "./produce.ts";
import { publishFromSteps, type Stepped } from "./publish-from-steps.ts";
import { publishAlone, type AloneTask } from "./publish-alone.ts";
import { followLog, makeSlot, readLog, type LogReader } from "./read-log.ts";
import { toRelayCalls, type Relayed, type RelayCalls, type RelayTask } from "./relaying.ts";
import { sagazRelay } from "./sagaz-relay.ts";

/** What the bench can ask of a process that runs ours. */
export interface SagazCalls extends RelayCalls {
  keepHistory(url: string, events: number): Promise<void>;
  publishAlone(task: AloneTask): Promise<number>;
  produce(task: ProduceTask): Promise<Produced>;
  publishFromSteps(task: ProduceTask): Promise<Stepped>;
  writePaced(url: string, forMs: number): Promise<Times>;
  publishPaced(url: string, forMs: number): Promise<{ readonly committed: Times; readonly published: Times }>;
  handPaced(broker: string, forMs: number): Promise<Times>;
  watch(url: string): Promise<void>;
  unwatch(): Promise<Times>;
  checkDuplicates(url: string, count: number): Promise<number>;
  processBatches(url: string, forMs: number): Promise<number>;
  insertBatches(url: string, forMs: number): Promise<number>;
  makeSlot(url: string): Promise<void>;
  readLog(task: RelayTask): Promise<Relayed>;
  followLog(url: string, broker: string): Promise<void>;
  /** Also tells what CPU time it took since it began, in milliseconds. */
  unfollow(): Promise<number>;
  listen(broker: string): Promise<void>;
  /** Waits until so many messages have been received, and listens no more. */
  heard(messages: number): Promise<Times>;
}

let watching: Awaited<ReturnType<typeof watch>> | undefined;
let following: { readonly reader: LogReader; readonly since: NodeJS.CpuUsage } | undefined;
let listening: Listener | undefined;

const calls: SagazCalls = {
  ...toRelayCalls(sagazRelay),
  async install(url) {
    await sagazRelay.install(url);
    for (const sql of accountsSql) await runSql(url, sql);
  },
  keepHistory,
  publishAlone,
  produce,
  publishFromSteps,
  writePaced,
  publishPaced,
  handPaced,
  async watch(url) {
    watching = await watch(url);
  },
  async unwatch() {
    if (watching === undefined) throw new Error("Nobody watches.");
    return watching.stop();
  },
  checkDuplicates,
  processBatches,
  insertBatches,
  makeSlot,
  readLog,
  async followLog(url, broker) {
    const since = process.cpuUsage();
    following = { reader: await followLog(url, broker), since };
  },
  async unfollow() {
    if (following === undefined) throw new Error("Nobody follows.");
    await following.reader.stop();
    const { user, system } = process.cpuUsage(following.since);
    return (user + system) / 1000;
  },
  async listen(broker) {
    listening = await listen(broker);
  },
  async heard(messages) {
    if (listening === undefined) throw new Error("Nobody listens.");
    return listening.heard(messages);
  },
};

answerCalls(calls);
