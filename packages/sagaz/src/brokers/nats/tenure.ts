import { AckedPrefix } from "../../core/delivery/acked-prefix.ts";
import type { ReceivedMessage } from "../../ports/broker.ts";

/**
 * The time in which a subscription alone reads a topic for its group. It begins at the group's place, ends with the lease
 * or the connection, and takes with it what was handed over in it.
 */
export class Tenure {
  readonly topic: string;
  /** When the stream was made. */
  readonly made: string;
  /** Places are the numbers of messages in the stream. */
  readonly acked: AckedPrefix<ReceivedMessage, number>;
  /** The lease holds until then, by this process's monotonic clock. */
  validUntil: number;
  /** Of the entry in the bucket, as it was written last. */
  revision: number;
  savedPlace: number;
  /** While it is being written. */
  saving: Promise<void> | undefined;

  constructor(topic: string, entry: { place: number; made: string; revision: number; validUntil: number }) {
    this.topic = topic;
    this.made = entry.made;
    this.acked = new AckedPrefix(entry.place);
    this.savedPlace = entry.place;
    this.revision = entry.revision;
    this.validUntil = entry.validUntil;
  }
}
