import { redrivenRow } from "../../core/delivery/redriven-row.ts";
import type { DeadLetterFilter, DeadLetterStorage } from "../../ports/dead-letters.ts";
import type { DeadRecord } from "./outbox-table.ts";
import type { Tables } from "./tables.ts";

/** Dead letters in memory. */
export function deadLettersIn(tables: Tables): DeadLetterStorage {
  const { outbox } = tables;
  return {
    async bury(letter) {
      const isKnown = outbox.dead.some(
        ({ consumerName, event, redrivenAt }) =>
          consumerName === letter.consumerName &&
          event.eventId === letter.event.eventId &&
          redrivenAt === null,
      );
      if (!isKnown) outbox.bury(letter, { diedAt: tables.now(), isTold: false });
    },
    async list({ limit, after = 0, ...filter }) {
      const found = outbox.dead.filter((letter) => letter.id > after && fits(letter, filter));
      const letters = found.slice(0, limit).map((letter) => ({ ...letter }));
      return { letters, next: found.length > limit ? letters.at(-1)?.id : undefined };
    },
    async redrive({ ids, actor }) {
      const wanted = new Set(ids);
      const open = outbox.dead.filter(({ id, redrivenAt }) => wanted.has(id) && redrivenAt === null);
      for (const letter of open) {
        letter.redrivenAt = tables.now();
        letter.redrivenBy = actor;
      }
      tables.publish(open.map(redrivenRow), tables.now());
      return open.map(({ id }) => id);
    },
  };
}

function fits(
  { consumerName, event, redrivenAt }: DeadRecord,
  filter: Pick<DeadLetterFilter, "consumerName" | "topic" | "open">,
): boolean {
  if (filter.consumerName !== undefined && filter.consumerName !== consumerName) return false;
  if (filter.topic !== undefined && filter.topic !== event.topic) return false;
  return filter.open === undefined || filter.open === (redrivenAt === null);
}
