import type { FlowEvent, FlowStorage } from "../../ports/flows.ts";
import type { TextRow } from "./connection.ts";
import { toTime, type Database } from "./database.ts";
import { storable } from "./storable.ts";

/** Events that trackers have seen. */
export class PostgresFlows implements FlowStorage {
  readonly #database: Database;

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  async record(events: readonly FlowEvent[]): Promise<void> {
    if (events.length === 0) return;
    // As text, which can hold whatever a header has; as JSON half of a surrogate pair would be refused.
    const rows = events.map((event) => ({
      ...Object.fromEntries(
        Object.entries(event).map(([name, value]) => [
          name,
          typeof value === "string" ? storable(value) : value,
        ]),
      ),
      at: toTime(event.at),
    }));
    const values = [JSON.stringify(rows), this.#database.now()];
    await this.#database.write({ text: this.#database.sql.recordFlows, values });
  }

  async list({ flowId, limit }: { readonly flowId: string; readonly limit: number }): Promise<FlowEvent[]> {
    const values = [storable(flowId), limit];
    return (await this.#database.read({ text: this.#database.sql.listFlow, values })).map(toEvent);
  }
}

function toEvent(row: TextRow): FlowEvent {
  const text = (name: string) => row[name] ?? null;
  return {
    eventId: String(row["event_id"]),
    flowId: String(row["flow_id"]),
    causationId: text("causation_id"),
    topic: String(row["topic"]),
    key: String(row["key"]),
    type: String(row["type"]),
    source: String(row["source"]),
    role: text("role"),
    sagaId: text("saga_id"),
    at: Number(row["at"]),
  };
}
