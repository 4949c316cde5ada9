import { readFileSync } from "node:fs";
import pg from "pg";
import { inject } from "vitest";
import type { InboxCounts, RelayCounts } from "sagaz";
import { startFaultProxy, type FaultProxy } from "../../../tools/servers/fault-proxy.ts";
import { createDatabase } from "../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../tools/servers/wait-until.ts";
import { WorkerProcess } from "../worker-process.ts";
import type { ConsumerOptions } from "./consumer.ts";
import { Producers } from "./producers.ts";
import { RawLog } from "./raw-log.ts";
import type { RelayOptions } from "./relay.ts";
import type { DeliveryServers, Skip } from "./servers.ts";

/** Who may consume: they do not know of each other. */
export type ConsumerName = "billing" | "mailing";

/** Against hanging: beside a busy neighbour, all takes far longer than it should. */
const patienceMs = 90_000;
/** Harm is done when so many more have arrived: some are then on their way. */
const someEvents = 100;
/** For the whole of a scenario. */
export const scenarioMsMax = 240_000;

type Lines = { readonly databaseUrl?: string; readonly brokerUrl?: string };

/** A database of its own with applications that write events, a log of all deliveries, and processes that relay and consume. */
export class DeliveryTown implements AsyncDisposable {
  readonly url: string;
  readonly brokerUrl: string;
  readonly producers: Producers;
  readonly raw: RawLog;
  /** Who is to have every event. */
  readonly consumers: readonly ConsumerName[];
  readonly #topic: string;
  readonly #pool: pg.Pool;
  readonly #processes: WorkerProcess[] = [];
  readonly #lines: FaultProxy[] = [];

  private constructor(url: string, brokerUrl: string, consumers: readonly ConsumerName[]) {
    this.url = url;
    this.consumers = consumers;
    this.brokerUrl = brokerUrl;
    this.#topic = `orders-${new URL(url).pathname.slice(1)}`;
    this.#pool = new pg.Pool({ connectionString: url, application_name: "the test" });
    this.#pool.on("error", () => {}); // a server that is killed breaks idle connections too
    this.producers = new Producers({ databaseUrl: url, topic: this.#topic });
    this.raw = new RawLog({ brokerUrl, topic: this.#topic });
  }

  /** Opens one on these servers. */
  static async open(
    { broker, databaseServerUrl }: DeliveryServers,
    skip: Skip,
    consumers: readonly ConsumerName[] = ["billing", "mailing"],
  ): Promise<DeliveryTown> {
    const { url: brokerUrl } = broker(skip);
    const { url } = await createDatabase(databaseServerUrl, { name: "delivery" });
    const town = new DeliveryTown(url, brokerUrl, consumers);
    await town.producers.start(readFileSync(new URL("town.sql", import.meta.url), "utf8"));
    await town.raw.start();
    return town;
  }

  /** Starts a process that relays; await its `ready()`. */
  relay(
    name: string,
    options: Lines & Pick<RelayOptions, "leaseMs" | "batchMax" | "moods"> = {},
  ): WorkerProcess {
    const told: RelayOptions = {
      name,
      databaseUrl: this.url,
      brokerUrl: this.brokerUrl,
      ...options,
    };
    return this.#run(inject("programs").relay, told);
  }

  /** Starts a process of each consumer. */
  async startConsumers(): Promise<void> {
    await Promise.all(this.consumers.map((name) => this.consumer(name).ready()));
  }

  /** Starts a process of a consumer; await its `ready()`. */
  consumer(consumerName: ConsumerName, options: Lines & { readonly name?: string } = {}): WorkerProcess {
    const told: ConsumerOptions = {
      name: consumerName,
      consumerName,
      databaseUrl: this.url,
      brokerUrl: this.brokerUrl,
      topic: this.#topic,
      ...options,
    };
    return this.#run(inject("programs").consumer, told);
  }

  #run(program: string, options: { readonly name: string }): WorkerProcess {
    const started = new WorkerProcess(program, options);
    this.#processes.push(started);
    return started;
  }

  /** A line to a server of the town, for harm to be done to it. */
  async line(server: "broker" | "database"): Promise<FaultProxy> {
    const line = await startFaultProxy(server === "broker" ? this.brokerUrl : this.url);
    this.#lines.push(line);
    return line;
  }

  async sql<Row extends object = object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#pool.query<Row>(text, [...values])).rows;
  }

  /** The first column of the first row, as a number. */
  async count(text: string, values: readonly unknown[] = []): Promise<number> {
    const [row] = await this.sql(`select (${text})::float8 as n`, values);
    return (row as { n: number }).n;
  }

  /** How many events are to be published, and have not been yet. */
  pending(): Promise<number> {
    return this.count("select count(*) from sagaz.saga_outbox_pending");
  }

  /** How many relays lost their shards because their lease had run out. */
  takeovers(): Promise<number> {
    return this.count(
      "select count(*) from sagaz.saga_workers where relays and fenced_at is not null and not retired",
    );
  }

  /** How many relays have shards now. */
  owners(): Promise<number> {
    return this.count("select count(distinct owner) from sagaz.saga_outbox_shards");
  }

  /** True while a relay of this name is not shut out. */
  async isRelaying(name: string): Promise<boolean> {
    const alive =
      "select count(*) from sagaz.saga_workers where worker_name = $1 and relays and fenced_at is null";
    return (await this.count(alive, [name])) > 0;
  }

  /** How many messages were published beside the first of each event. */
  async copies(): Promise<number> {
    return (await this.raw.published()) - this.raw.firsts.size;
  }

  /** Waits until it is so. @throws Error that tells how things stand and what the processes have said, when it takes too long. */
  async until(what: string, isSo: () => Promise<boolean>, everyMs = 20): Promise<void> {
    try {
      await waitUntil(what, isSo, { withinMs: patienceMs, everyMs });
    } catch (error) {
      throw new Error(`${String(error)} ${await this.#describe()}`, { cause: error });
    }
  }

  /** Does harm while events are written and arrive: the writers go on until it is done. Answers when they have ended too. */
  async inTheMiddle(harm: () => Promise<unknown>): Promise<void> {
    let isToWrite = true;
    const writing = this.producers.writeWhile(() => isToWrite);
    try {
      const before = this.raw.firsts.size;
      await this.until("some have come", async () => this.raw.firsts.size > before + someEvents, 5);
      await harm();
    } finally {
      isToWrite = false;
      await writing;
    }
  }

  /** Waits until nothing is left to be published, and everything has come to everybody. */
  allArrive(): Promise<void> {
    return this.until(
      "all events have arrived",
      async () => {
        if ((await this.pending()) > 0) return false;
        const [events, effects] = [
          await this.count("select count(*) from town.facts where not is_poison"),
          await this.count("select count(distinct (consumer, event_id)) from town.effects"),
        ];
        return this.raw.firsts.size >= events && effects >= events * this.consumers.length;
      },
      100,
    );
  }

  /** Stops a relay or a consumer in peace. Answers what it has counted. */
  async stopAndCount(one: WorkerProcess): Promise<Partial<RelayCounts & InboxCounts>> {
    const status = await one.stop();
    if (status !== 0) throw new Error(`${one.name} ended with ${status}:\n${one.output}`);
    return one.lastWord as Partial<RelayCounts & InboxCounts>;
  }

  /** What those have said that are not running any more, and were not ended by a test. */
  crashed(): string[] {
    const crashed = this.#processes.filter(({ exitCode }) => exitCode !== null && exitCode !== 0);
    return crashed.map(({ name, output }) => `${name}: ${output.slice(-3_000)}`);
  }

  /** Prints a line on what a scenario has seen, and answers it. */
  async report<Seen extends Readonly<Record<string, number>>>(scenario: string, seen: Seen) {
    const { committed, rolledBack, broken, overtaken } = this.producers.written;
    const all = {
      events: await this.count("select count(*) from town.facts"),
      committed,
      "rolled back": rolledBack,
      broken,
      overtaken,
      takeovers: await this.takeovers(),
      copies: await this.copies(),
      ...seen,
    };
    const parts = Object.entries(all).map(([what, count]) => `${what} ${count}`);
    console.log(`${scenario}: ${parts.join(", ")}`);
    return all;
  }

  async #describe(): Promise<string> {
    const standing = await this.sql(
      `select (select count(*) from town.facts) as facts, (select count(*) from sagaz.saga_outbox_pending) as pending,
         (select json_agg(e) from (select consumer, count(*) from town.effects group by 1) e) as effects,
         (select json_agg(w) from (select worker_name, epoch, fenced_at, retired,
             (select count(*) from sagaz.saga_outbox_shards s where s.owner = epoch) as shards
           from sagaz.saga_workers) w) as workers`,
    );
    const said = this.#processes.map(
      ({ name, isRunning, output }) => `${name}${isRunning ? "" : " (ended)"}: ${output.slice(-2_000)}`,
    );
    return `${JSON.stringify(standing)}, raw ${this.raw.firsts.size}\n${said.join("\n")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.filter(({ isRunning }) => isRunning).map((one) => one.kill()));
    await Promise.all(this.#lines.map((line) => line.stop()));
    await this.raw.stop();
    await this.producers.stop();
    await this.#pool.end();
  }
}
