import { runSql } from "../../tools/servers/postgres-databases.ts";
import { answerCalls } from "../answer-calls.ts";
import { keepHistory } from "./keep-history.ts";
import { watch, writePaced, type Times } from "./paced.ts";
import { checkDuplicates, processBatches } from "./process-inbox.ts";
import { accountsSql, produce, type ProduceTask } from "./produce.ts";
import { publishAlone, type AloneTask } from "./publish-alone.ts";
import { toRelayCalls, type RelayCalls } from "./relaying.ts";
import { sagazRelay } from "./sagaz-relay.ts";

/** What the bench can ask of a process that runs ours. */
export interface SagazCalls extends RelayCalls {
  keepHistory(url: string, events: number): Promise<void>;
  publishAlone(task: AloneTask): Promise<number>;
  produce(task: ProduceTask): Promise<number>;
  writePaced(url: string, forMs: number): Promise<Times>;
  watch(url: string): Promise<void>;
  unwatch(): Promise<Times>;
  checkDuplicates(url: string, count: number): Promise<number>;
  processBatches(url: string, forMs: number): Promise<number>;
}

let watching: Awaited<ReturnType<typeof watch>> | undefined;

const calls: SagazCalls = {
  ...toRelayCalls(sagazRelay),
  async install(url) {
    await sagazRelay.install(url);
    for (const sql of accountsSql) await runSql(url, sql);
  },
  keepHistory,
  publishAlone,
  produce,
  writePaced,
  async watch(url) {
    watching = await watch(url);
  },
  async unwatch() {
    if (watching === undefined) throw new Error("Nobody watches.");
    return watching.stop();
  },
  checkDuplicates,
  processBatches,
};

answerCalls(calls);
