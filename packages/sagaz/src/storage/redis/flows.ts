import type { FlowEvent, FlowStorage } from "../../ports/flows.ts";
import type { Database } from "./database.ts";
import { inboxScripts as scripts } from "./scripts/inbox.ts";

const eventsPerWrite = 500;

/** Events that trackers have seen, in Redis. */
export function flowsIn(database: Database): FlowStorage {
  return {
    async record(events) {
      for (let n = 0; n < events.length; n += eventsPerWrite)
        await note(database, events.slice(n, n + eventsPerWrite));
    },
    async list({ flowId, limit }) {
      const request = { flow: flowId.toWellFormed(), limit };
      const kept = await database.look<string[]>({ script: scripts.flow, request });
      return kept.map((one) => JSON.parse(one) as FlowEvent);
    },
  };
}

async function note(database: Database, events: readonly FlowEvent[]): Promise<void> {
  const named = events.map((event) => ({
    flow: event.flowId.toWellFormed(),
    id: event.eventId.toWellFormed(),
    at: event.at,
    event,
  }));
  const request = { events: named.map(({ flow, id, at }) => ({ flow, id, at })) };
  const texts = named.flatMap(({ flow, id, event }) => [JSON.stringify([flow, id]), JSON.stringify(event)]);
  await database.write({ script: scripts.seen, request, texts });
}
