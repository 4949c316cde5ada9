import { redrivenRow } from "../../core/delivery/redriven-row.ts";
import type {
  DeadLetter,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterStorage,
  Redrive,
} from "../../ports/dead-letters.ts";
import type { Database } from "./database.ts";
import { fromEventText, toEventText, toPendingText } from "./events.ts";
import { outboxScripts as scripts } from "./scripts/outbox.ts";
import { storable } from "./storable.ts";

const fields = ["event", "created", "about", "died", "redriven", "by"] as const;
const lettersPerRead = 100;

/** What is kept of a letter besides its event and its times. */
type About = Pick<DeadLetter, "consumerName" | "attempts" | "code" | "error" | "stack">;

/** Dead letters in Redis. */
export function deadLettersIn(database: Database): DeadLetterStorage {
  return {
    async bury({ consumerName, event, createdAt, attempts, code, error, stack }) {
      const about: About = {
        consumerName,
        attempts,
        code,
        error: storable(error),
        stack: stack === null ? null : storable(stack),
      };
      const request = { buried: JSON.stringify([consumerName, event.eventId]), created: createdAt };
      const texts = [toEventText(event), JSON.stringify(about)];
      await database.keep({ script: scripts.bury, request, texts });
    },
    list: (filter) => list(database, filter),
    redrive: (request) => redrive(database, request),
  };
}

async function list(database: Database, filter: DeadLetterFilter): Promise<DeadLetterPage> {
  const index = filter.open === true ? "open-letters" : "letters";
  const found: DeadLetter[] = [];
  let { after = 0 } = filter;
  for (;;) {
    const ids = await database.read<string[]>(
      "ZRANGEBYSCORE",
      index,
      `(${after}`,
      "+inf",
      "LIMIT",
      0,
      lettersPerRead,
    );
    for (const letter of await readLetters(database, ids)) {
      if (!fits(letter, filter)) continue;
      if (found.length === filter.limit) return { letters: found, next: found.at(-1)?.id };
      found.push(letter);
    }
    if (ids.length < lettersPerRead) return { letters: found, next: undefined };
    after = Number(ids.at(-1));
  }
}

async function readLetters(
  database: Database,
  ids: readonly (string | number)[],
): Promise<readonly DeadLetter[]> {
  const reads = ids.map(async (id) => {
    const kept = await database.read<(string | null)[]>("HMGET", `letter:${id}`, ...fields);
    return toLetter(Number(id), kept);
  });
  return (await Promise.all(reads)).flatMap((letter) => letter ?? []);
}

function toLetter(
  id: number,
  [event, created, about, died, redriven, by]: (string | null)[],
): DeadLetter | undefined {
  if (typeof event !== "string" || typeof about !== "string") return undefined;
  return {
    id,
    event: fromEventText(event),
    createdAt: Number(created),
    ...(JSON.parse(about) as About),
    diedAt: Number(died),
    redrivenAt: typeof redriven === "string" ? Number(redriven) : null,
    redrivenBy: by ?? null,
  };
}

function fits(
  { consumerName, event, redrivenAt }: DeadLetter,
  filter: Pick<DeadLetterFilter, "consumerName" | "topic" | "open">,
): boolean {
  if (filter.consumerName !== undefined && filter.consumerName !== consumerName) return false;
  if (filter.topic !== undefined && filter.topic !== event.topic) return false;
  return filter.open === undefined || filter.open === (redrivenAt === null);
}

/** A letter's event never changes, so it may be read before: the script looks which are still open. */
async function redrive(database: Database, { ids, actor }: Redrive): Promise<readonly number[]> {
  const letters = await readLetters(database, ids);
  const request = {
    ids: letters.map(({ id }) => String(id)),
    shards: letters.map(({ event }) => event.shard),
    actor: storable(actor),
  };
  const texts = letters.map((letter) => toPendingText(redrivenRow(letter)));
  return (await database.keep<string[]>({ script: scripts.redrive, request, texts })).map(Number);
}
