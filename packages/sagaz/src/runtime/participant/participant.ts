import { LIMITS } from "../../core/definition/policies.ts";
import { didYouMean } from "../../core/definition/suggest.ts";
import { toOutboxRow } from "../../core/delivery/outbox-event.ts";
import type { OutboxEvent } from "../../core/delivery/outbox-event.ts";
import { isSagaError, SagaError } from "../../core/errors.ts";
import { givenOptions, type Wanted } from "../../core/given-options.ts";
import { keepJson } from "../../core/json.ts";
import { COMMAND_TYPE, REPLY_TYPE, toCommand } from "../../core/participant/messages.ts";
import type { CommandMessage, ReplyError, ReplyMessage } from "../../core/participant/messages.ts";
import { judge, remember } from "../../core/participant/standing.ts";
import type { Answer, Judgement, Standing } from "../../core/participant/standing.ts";
import { consoleLog } from "../../ports/log.ts";
import { attemptIn } from "../delivery/business-attempt.ts";
import type { InboxContext, InboxMessage } from "../delivery/consumer-inbox.ts";
import { InboxWorker, RECEIVER_WANTED } from "../delivery/inbox-worker.ts";
import type { InboxCounts, InboxWorkerOptions } from "../delivery/inbox-worker.ts";
import { fromText, PAYLOAD_BYTES_MAX } from "../payload.ts";
import { newId, systemChance, systemClock } from "../system.ts";
import { checkCommands } from "./participant-commands.ts";
import type { Commands } from "./participant-commands.ts";

/** How a service takes part in sagas. Times are milliseconds. */
export interface ParticipantOptions extends Omit<InboxWorkerOptions, "topics" | "handle" | "consumerName"> {
  /** Part of what is stored, so it stays; the consumer group at the broker too. */
  readonly name: string;
  /** Where its commands come from. Default: `<name>-commands`. */
  readonly topic?: string;
  readonly commands: Commands;
  /**
   * Commands that share a transaction at most. With more than one a handler may be called again for what another one's
   * failure took back. Default 1.
   */
  readonly batchMax?: number;
}

const WANTED: Wanted<ParticipantOptions> = {
  ...RECEIVER_WANTED,
  name: "needed",
  topic: "optional",
  commands: "needed",
};

type Refusal = Extract<Judgement, { type: "refuse" }>;

/**
 * A service's part in sagas: does what commands ask for, undoes it, and answers.
 *
 * That something was asked for, what its handler writes through `tx`, what it publishes and the reply commit together or
 * not at all. A command that is repeated gets the same answer. An undo that comes before what it undoes succeeds, and what
 * it undoes is then refused; so is a command of an older round. Of the commands that wait here (at most `unackedMax`) undos
 * come first, so that what is not wanted any more is refused in its turn instead of being done. What a handler throws, other
 * than by `fail(…)`, is tried again; after `attemptsMax` tries the command is a dead letter, and the answer is that nobody
 * knows, for the saga to ask again or to undo it.
 *
 * The replies go through this service's outbox: an `OutboxWorker` sends them.
 *
 * @example
 * await using inventory = new Participant({
 *   storage, broker, name: "inventory",
 *   commands: {
 *     reserve: {
 *       do: async ({ payload, tx }) => { await tx("insert into reservations …"); return { reservationId }; },
 *       undo: async ({ result, tx }) => { await tx("delete from reservations where id = $1", [result.reservationId]); },
 *     },
 *   },
 * });
 * await inventory.start();
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`; `SAGAZ_CANNOT` for a storage that cannot remember what was asked.
 */
export class Participant {
  readonly #options: ParticipantOptions;
  readonly #worker: InboxWorker;

  constructor(options: ParticipantOptions) {
    const given = givenOptions("Participant", options, WANTED);
    const { name, topic = `${name}-commands`, commands, batchMax = 1, ...rest } = given;
    checkCommands(commands);
    const { can, name: storage } = given.storage;
    if (!can.participants)
      throw new SagaError("SAGAZ_CANNOT", { storage, what: "remember what a participant was asked for" });
    this.#options = given;
    this.#worker = new InboxWorker(
      {
        ...rest,
        batchMax,
        consumerName: name,
        topics: [topic],
        handle: { [COMMAND_TYPE]: (body, inbox) => this.#handle(body, inbox) },
      },
      { beforeBurying: (message, error) => this.#giveUp(message, error), overtakes: isUndo },
    );
  }

  /** As of an {@link InboxWorker}: commands, of which those that were refused count as processed. */
  get counts(): Readonly<InboxCounts> {
    return this.#worker.counts;
  }

  /** As {@link InboxWorker.start}. */
  start(): Promise<void> {
    return this.#worker.start();
  }

  /** As {@link InboxWorker.health}. */
  health(): Promise<{ readonly isUp: boolean; readonly detail?: string }> {
    return this.#worker.health();
  }

  /** Lets what is under way end, and leaves the rest to others of its name. Safe twice and before start. */
  stop(): Promise<void> {
    return this.#worker.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #handle(body: unknown, inbox: InboxContext): Promise<void> {
    const { name, storage } = this.#options;
    const command = toCommand(body);
    const unknown = this.#unknown(command);
    if (unknown) return inbox.publish(toReply(command, refused(unknown)));
    const effect = { participant: name, effect: command.effect };
    const kept = await storage.participants.take(inbox.tx, effect);
    const standing = kept === null ? {} : (fromText(kept) as Standing);
    const judgement = judge(standing, command);
    if (judgement.type === "refuse") return inbox.publish(toReply(command, this.#refuse(command, judgement)));
    const answer =
      judgement.type === "run"
        ? await this.#run(command, { inbox, result: judgement.result })
        : judgement.answer;
    if (judgement.type === "run" || judgement.isNew) {
      const text = JSON.stringify(remember(standing, command, answer));
      await storage.participants.keep(inbox.tx, effect, text);
    }
    inbox.publish(toReply(command, answer));
  }

  #unknown({ command, direction }: CommandMessage): SagaError | undefined {
    const { name: participant, commands } = this.#options;
    const known = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (known?.[direction]) return undefined;
    const hint = known ? "" : didYouMean(command, Object.keys(commands));
    return new SagaError("SAGAZ_UNKNOWN_COMMAND", { participant, command, direction, hint });
  }

  #refuse({ effect, direction, round }: CommandMessage, refusal: Refusal): Refused {
    const { name: participant } = this.#options;
    const latest = "latest" in refusal ? refusal.latest : undefined;
    return refused(new SagaError(refusal.code, { participant, effect, direction, round, latest }));
  }

  async #run(
    command: CommandMessage,
    { inbox, result }: { readonly inbox: InboxContext; readonly result: unknown },
  ): Promise<Answer> {
    const { commands, storage } = this.#options;
    const { tx, signal } = inbox;
    const events: OutboxEvent[] = [];
    const publish = (event: OutboxEvent) => void events.push(event);
    const { payload, idempotencyKey, direction } = command;
    const ctx = { payload, command, idempotencyKey, tx, signal, publish, result } as never;
    const outcome = await attemptIn({ tx, storage }, () => commands[command.command]?.[direction]?.(ctx));
    if ("failure" in outcome) return { outcome: "failed", error: toReplyError(outcome.failure) };
    for (const event of events) inbox.publish(event);
    const bytesMax = this.#options.payloadBytesMax ?? PAYLOAD_BYTES_MAX;
    const kept = keepJson(outcome.result, { what: `the result of "${command.command}"`, bytesMax });
    return kept === undefined ? { outcome: "done" } : { outcome: "done", result: kept };
  }

  /** Who asked hears that nobody knows. One who cannot be told, since no event goes where he says, keeps nothing else waiting. */
  async #giveUp(message: InboxMessage, error: SagaError): Promise<void> {
    const { name: participant, log = consoleLog } = this.#options;
    const command = readable(message.payload);
    if (message.eventType !== COMMAND_TYPE || !command) return;
    const outcome = error.code === "SAGAZ_INVALID_COMMAND" ? "refused" : "unknown";
    const text = error.message.slice(0, LIMITS.errorTextMax);
    try {
      await this.#tell(message, toReply(command, { outcome, error: { message: text, code: error.code } }));
    } catch (reason) {
      if (!isSagaError(reason) || reason.retryable) throw reason;
      const { eventId } = message;
      log.error("sagaz: who asked cannot be told", { participant, eventId, error: reason.message });
    }
  }

  /** In a transaction of its own, as the handler's was taken back. */
  async #tell(message: InboxMessage, event: OutboxEvent): Promise<void> {
    const { name, storage, clock = systemClock, chance = systemChance } = this.#options;
    const row = toOutboxRow(event, {
      newId: () => newId(clock.now(), chance),
      source: `/sagaz/${name}`,
      bytesMax: PAYLOAD_BYTES_MAX,
      correlationId: message.correlationId,
      traceparent: message.traceparent,
      links: { "causation-id": message.eventId },
    });
    const { sourceTopic, eventType } = message;
    const note = { eventId: newId(clock.now(), chance), sourceTopic, eventType };
    await storage.inbox.process(
      { consumerName: `${name}:given-up`, messages: [note], idleMsMax: LIMITS.memoryDelayMsMax },
      async (tx) => {
        await storage.outbox.addIn(tx, [row]);
        return [null];
      },
    );
  }
}

/** Whoever asks for an undo wants nothing done any more: what is still in the queue is then refused, and costs nothing. */
function isUndo({ payload }: InboxMessage): boolean {
  return ((payload ?? {}) as Partial<CommandMessage>).direction === "undo";
}

interface Refused extends Pick<ReplyMessage, "outcome"> {
  readonly error: ReplyError;
}

function refused({ message, code }: SagaError): Refused {
  return { outcome: "refused", error: { message, code } };
}

function toReply(
  { sagaId, step, direction, round, idempotencyKey, replyTo }: CommandMessage,
  answer: Pick<ReplyMessage, "outcome" | "result" | "error">,
): OutboxEvent {
  const payload: ReplyMessage = { sagaId, step, direction, round, idempotencyKey, ...answer };
  return { topic: replyTo, type: REPLY_TYPE, key: sagaId, aggregateId: sagaId, payload };
}

function toReplyError({ message, details }: { message: string; details?: unknown }): ReplyError {
  const bytesMax = LIMITS.errorDetailsBytesMax;
  const text = message === "" ? "the business said no" : message.slice(0, LIMITS.errorTextMax);
  if (details === undefined) return { message: text };
  try {
    return { message: text, details: keepJson(details, { what: "the details of the failure", bytesMax }) };
  } catch (error) {
    return { message: text, details: { notKept: isSagaError(error) ? error.message : "it is no JSON" } };
  }
}

/** A command that can be answered, although it may lack what doing it would take. */
function readable(body: unknown): CommandMessage | undefined {
  const { replyTo, sagaId, step, direction, round, idempotencyKey } = (body ?? {}) as Partial<CommandMessage>;
  const isAnswerable = [replyTo, sagaId, step, direction].every(
    (text) => typeof text === "string" && text !== "",
  );
  if (!isAnswerable || typeof round !== "number") return undefined;
  return { ...(body as CommandMessage), idempotencyKey: idempotencyKey ?? "" };
}
