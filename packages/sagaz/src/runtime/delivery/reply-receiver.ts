import { REPLY_TYPE, toReply } from "../../core/participant/messages.ts";
import type { ReplyMessage } from "../../core/participant/messages.ts";
import { InboxWorker } from "./inbox-worker.ts";
import type { InboxWorkerOptions } from "./inbox-worker.ts";

/** Where participants send their replies to, and how they get here. */
export interface RepliesOptions extends Partial<Pick<InboxWorkerOptions, "broker">> {
  /** One topic for all processes on one storage, and for no others. Needed for commands that go to a topic. */
  readonly topic?: string;
  /**
   * A URL at which you take replies and hand them to `sagas.reply`. Needed for commands that go to a URL. Participants must
   * be allowed to post to it.
   */
  readonly url?: string;
  /** The consumer group at the broker. Default `sagaz-replies`. */
  readonly group?: string;
}

/** What a receiver of replies is made of. */
export interface ReplyReceiverParts extends Omit<InboxWorkerOptions, "topics" | "handle" | "consumerName"> {
  readonly topic: string;
  readonly group: string;
  /** Hands a reply to its saga's owner; a repetition of the id does nothing. */
  readonly post: (mailId: string, reply: ReplyMessage) => Promise<void>;
}

/** Receives the replies of participants. What cannot be one, or is for no saga of this storage, goes to the dead letters. */
export function makeReplyReceiver({ topic, group, post, ...options }: ReplyReceiverParts): InboxWorker {
  return new InboxWorker({
    ...options,
    consumerName: group,
    topics: [topic],
    handle: {
      [REPLY_TYPE]: (body, { message }) => post(`reply/${message.eventId}`, toReply(body)),
    },
  });
}
