import { isRefusal, noSuchMessage, noSuchStream, streamNameInUse } from "./errors.ts";
import type { Answer, Line } from "./line.ts";
import type { Subjects } from "./subjects.ts";

/** How the streams are made where they are missing. */
export interface StreamSettings {
  readonly replicas: number;
  readonly keepMs: number;
}

/** What {@link JetStream.look} tells. */
export interface StreamLook {
  readonly made: string;
  readonly lastSequence: number;
}

/** Nanoseconds, in which JetStream counts. */
function toNanos(ms: number): number {
  return Math.round(ms * 1_000_000);
}

/** What is asked of JetStream beside publishing. */
export class JetStream {
  readonly #line: Line;
  readonly #subjects: Subjects;
  readonly #settings: StreamSettings;

  constructor(line: Line, subjects: Subjects, settings: StreamSettings) {
    this.#line = line;
    this.#subjects = subjects;
    this.#settings = settings;
  }

  #ask(what: string, body: object = {}): Promise<Answer> {
    return this.#line.ask(`$JS.API.${what}`, JSON.stringify(body));
  }

  /** Makes the streams that are missing; what is there, perhaps with settings of an operator, is left as it is. */
  async ensureStreams(): Promise<void> {
    const { replicas, keepMs } = this.#settings;
    const { stream, bucket, bucketStream } = this.#subjects;
    const settings = { retention: "limits", storage: "file", num_replicas: replicas };
    await this.#ensureStream({
      ...settings,
      name: stream,
      subjects: [`${stream}.>`],
      max_age: toNanos(keepMs),
    });
    await this.#ensureStream({
      ...settings,
      name: bucketStream,
      subjects: [`$KV.${bucket}.>`],
      // What makes a stream a bucket, so that `nats kv` shows it.
      max_msgs_per_subject: 1,
      discard: "new",
      allow_rollup_hdrs: true,
      deny_delete: true,
      allow_direct: true,
    });
  }

  async #ensureStream(config: { readonly name: string } & Readonly<Record<string, unknown>>): Promise<void> {
    try {
      await this.#ask(`STREAM.INFO.${config.name}`);
    } catch (error) {
      if (!isRefusal(error, noSuchStream)) throw error;
      // Another process may be faster, with other settings.
      await this.#ask(`STREAM.CREATE.${config.name}`, config).catch((failure: unknown) => {
        if (!isRefusal(failure, streamNameInUse)) throw failure;
      });
    }
  }

  /** The subjects that the stream takes. One that is not there any more is made again: a server may have lost its disk. */
  async takenSubjects(): Promise<readonly string[]> {
    await this.ensureStreams();
    const { config } = await this.#ask(`STREAM.INFO.${this.#subjects.stream}`);
    return (config as { subjects?: string[] }).subjects ?? [];
  }

  /** When the stream was made, which tells it from one before that had its name, and the number of its last message. */
  async look(): Promise<StreamLook> {
    const { created, state } = await this.#ask(`STREAM.INFO.${this.#subjects.stream}`);
    return { made: created as string, lastSequence: (state as { last_seq: number }).last_seq };
  }

  /** The last message of a subject in the bucket. */
  async lastIn(subject: string): Promise<{ readonly sequence: number; readonly text: string } | undefined> {
    try {
      const get = `STREAM.MSG.GET.${this.#subjects.bucketStream}`;
      const { message } = await this.#ask(get, { last_by_subj: subject });
      const { seq, data } = message as { seq: number; data: string };
      return { sequence: seq, text: Buffer.from(data, "base64").toString() };
    } catch (error) {
      if (isRefusal(error, noSuchMessage)) return undefined;
      throw error;
    }
  }

  /** Makes a reader of a subject, which forgets what it has handed out, and is itself forgotten when nobody asks it. */
  async createConsumer(subject: string, from: number, forgottenMs: number): Promise<string> {
    const { stream } = this.#subjects;
    const { name } = await this.#ask(`CONSUMER.CREATE.${stream}`, {
      stream_name: stream,
      config: {
        deliver_policy: "by_start_sequence",
        opt_start_seq: from,
        filter_subject: subject,
        ack_policy: "none",
        replay_policy: "instant",
        inactive_threshold: toNanos(forgottenMs),
        mem_storage: true,
        num_replicas: 1,
      },
    });
    return name as string;
  }

  async deleteConsumer(name: string): Promise<void> {
    await this.#ask(`CONSUMER.DELETE.${this.#subjects.stream}.${name}`);
  }

  /** Asks a consumer to send so many messages to an inbox, as they come, until the time is over. */
  pull(consumer: string, inbox: string, { count, expiresMs }: { count: number; expiresMs: number }): void {
    const body = JSON.stringify({ batch: count, expires: toNanos(expiresMs) });
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#subjects.stream}.${consumer}`;
    this.#line.send(subject, body, { reply: inbox });
  }
}
