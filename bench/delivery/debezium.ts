import { readFileSync } from "node:fs";
import { findKafkaConnect, startKafkaConnect } from "../../tools/servers/kafka-connect.ts";
import { runSql } from "../../tools/servers/postgres-databases.ts";
import type { TestBroker } from "../../tools/servers/scratch-broker.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import { hostOf } from "./kafka-client.ts";

const file = new URL("../../deploy/debezium/outbox-connector.json", import.meta.url);
const patience = { withinMs: 60_000, everyMs: 50 };

/** How it runs, in a line for the report. */
export const debeziumTuning =
  "3.7.0.Final in Kafka Connect 4.3.1 of one worker, Java optimizing; deploy/debezium as it is: batches of up to 8,192, " +
  "a queue of 32,768, polled every 10 ms, producer's batches of 256 KiB with lz4, linger of 5 ms; no pending rows are written";

/** A worker of Kafka Connect with our configuration of Debezium, for one database at a time. */
export class Debezium {
  readonly #connect: TestBroker;
  #captures = 0;

  constructor(connect: TestBroker) {
    this.#connect = connect;
  }

  /** Starts the worker, or tells why it is not to be had. */
  static async launch(kafka: string): Promise<Debezium | { readonly missing: string }> {
    const found = await findKafkaConnect();
    if ("missing" in found) return found;
    return new Debezium(await startKafkaConnect(found, hostOf(kafka), { optimize: true }));
  }

  get pid(): number {
    return this.#connect.pid;
  }

  /** Has a database captured from now on: what is written when this resolves is published. */
  async capture(url: string): Promise<void> {
    await runSql(
      url,
      "SELECT sagaz.ensure_publication('sagaz_debezium')",
      "SELECT pg_create_logical_replication_slot('sagaz_debezium', 'pgoutput')",
      "SELECT sagaz.set_delivery('debezium', 'the bench')",
    );
    const { config } = JSON.parse(readFileSync(file, "utf8")) as { config: Record<string, string> };
    const { hostname, port, username, pathname } = new URL(url);
    this.#captures += 1;
    await this.#ask("PUT", "config", {
      ...config,
      "database.hostname": hostname,
      "database.port": port,
      "database.user": username,
      "database.password": "none",
      "database.dbname": pathname.slice(1),
      // How far it has come is kept under this name: a database is not to begin where another one has ended.
      "topic.prefix": `sagaz-${this.#captures}`,
    });
    await this.#until(url, true);
  }

  /** Stands still: what is written meanwhile is published when it goes on. */
  async pause(url: string): Promise<void> {
    await this.#ask("PUT", "stop");
    await this.#until(url, false);
  }

  async resume(url: string): Promise<void> {
    await this.#ask("PUT", "resume");
    await this.#until(url, true);
  }

  /** Ends the capture; its slot can be dropped. */
  async release(url: string): Promise<void> {
    await this.#ask("DELETE", "");
    await this.#until(url, false);
  }

  stop(): Promise<void> {
    return this.#connect.stop();
  }

  async #ask(method: string, what: string, body?: object): Promise<void> {
    const answer = await fetch(`${this.#connect.url}/connectors/sagaz-outbox/${what}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`Kafka Connect answers ${answer.status}: ${await answer.text()}`);
  }

  async #until(url: string, isActive: boolean): Promise<void> {
    const sql = "SELECT FROM pg_replication_slots WHERE database = current_database() AND active";
    await waitUntil(
      isActive ? "Debezium reads the log" : "Debezium reads the log no more",
      async () => ((await runSql(url, sql))[0]?.rowCount === 1) === isActive,
      patience,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.#connect.log().slice(-5_000)}`);
    });
  }
}
