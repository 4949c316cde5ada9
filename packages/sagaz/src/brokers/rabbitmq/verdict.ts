import { messageOf } from "./trouble.ts";
import type { Outgoing } from "./messages.ts";

/** Why the server closed a channel over one message that it will never take, and how to tell that message. */
export interface Verdict {
  readonly why: string;
  /** Set when the message is larger than the server takes. */
  readonly bytesMax?: number;
  isAbout(message: Outgoing): boolean;
}

/**
 * Reads the error with which the server closed a channel. AMQP has no other way to refuse a message, and does not say
 * which one it was: RabbitMQ names the size that it takes, or the topic that this user may not write to.
 */
export function toVerdict(error: Error): Verdict | undefined {
  const why = messageOf(error);
  const size = /message size \d+ is larger than (?:configured )?max size (\d+)/.exec(why)?.[1];
  if (size !== undefined) {
    const bytesMax = Number(size);
    return { why, bytesMax, isAbout: ({ content }) => content.byteLength > bytesMax };
  }
  const forbidden = /access to topic '([^]*)' in exchange '/.exec(why)?.[1];
  if (forbidden !== undefined) return { why, isAbout: ({ topic }) => topic === forbidden };
  return undefined;
}
