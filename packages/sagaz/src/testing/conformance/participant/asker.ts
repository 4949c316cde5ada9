import { deepEqual, equal, match } from "node:assert/strict";
import { COMMAND_TYPE, REPLY_TYPE } from "../../../core/participant/messages.ts";
import type { CommandMessage, ReplyMessage } from "../../../core/participant/messages.ts";
import type { MessageInlet, ReceivedMessage } from "../../../ports/broker.ts";
import { Receiver, until } from "../broker/receiver.ts";
import type { ParticipantUnderTest, SampleCommand } from "./participant-rule.ts";

/** What a rule says of a command; the rest follows. */
type Asked = Partial<CommandMessage> & SampleCommand;

/** Sends commands as an orchestrator does, and waits for what is answered. */
export class Asker {
  readonly sagaId: string = crypto.randomUUID();
  readonly #t: ParticipantUnderTest;
  readonly #receiver: Receiver;
  readonly #replyTo: string;
  readonly #seen = new Set<string>();
  #read = 0;

  private constructor(t: ParticipantUnderTest, receiver: Receiver, replyTo: string) {
    this.#t = t;
    this.#receiver = receiver;
    this.#replyTo = replyTo;
  }

  static async open(t: ParticipantUnderTest): Promise<Asker> {
    const replyTo = await t.replyTopic();
    const group = `asker-${crypto.randomUUID()}`;
    const receiver = await new Receiver().listen(t.replies ?? (t.broker as MessageInlet), {
      group,
      topics: [replyTo],
    });
    return new Asker(t, receiver, replyTo);
  }

  get effect(): string {
    return `${this.sagaId}/step`;
  }

  /** The message that asks it, complete. */
  toCommand(asked: Asked): CommandMessage {
    const { direction = "do", round = 0, sagaId = this.sagaId, step = "step" } = asked;
    return {
      sagaId,
      step,
      direction,
      round,
      attempt: 1,
      effect: this.effect,
      idempotencyKey: `${sagaId}/${step}/${direction}/${round}`,
      replyTo: this.#replyTo,
      deadline: new Date(Date.now() + 60_000).toISOString(),
      ...asked,
    };
  }

  /** Sends a message as it is. */
  async send(payload: string, sagaId: string = this.sagaId): Promise<string> {
    const id = crypto.randomUUID();
    const headers = {
      ce_specversion: "1.0",
      ce_id: id,
      ce_type: COMMAND_TYPE,
      ce_source: "/sagaz/conformance",
      ce_subject: sagaId,
      ce_time: new Date().toISOString(),
      "content-type": "application/json",
      "correlation-id": `correlation of ${sagaId}`,
      "saga-id": sagaId,
    };
    const { broker, topic } = this.#t;
    deepEqual(await broker.publish([{ topic, key: sagaId, headers, payload }]), [undefined]);
    return id;
  }

  /** Waits for the next reply, and checks its envelope. */
  async next(sagaId: string = this.sagaId): Promise<ReplyMessage> {
    const message = await this.#next();
    const { headers, key } = message;
    equal(headers["ce_type"], REPLY_TYPE, "the ce_type of a reply");
    equal(headers["ce_specversion"], "1.0", "the ce_specversion of a reply");
    match(headers["ce_id"] ?? "", /^.{1,200}$/, "the ce_id of a reply");
    match(headers["ce_source"] ?? "", /./, "the ce_source of a reply");
    equal(headers["correlation-id"], `correlation of ${sagaId}`, "the correlation-id of a reply");
    equal(key, sagaId, "the key of a reply: replies to one saga stay in order");
    return JSON.parse(new TextDecoder().decode(message.payload)) as ReplyMessage;
  }

  async #next(): Promise<ReceivedMessage> {
    const { messages } = this.#receiver;
    await until("a reply has come", () => messages.length > this.#read);
    return messages[this.#read++] as ReceivedMessage;
  }

  /** After a crash a reply may come again: it is passed over. */
  async #answerTo({ sagaId, idempotencyKey }: CommandMessage): Promise<ReplyMessage> {
    for (;;) {
      const reply = await this.next(sagaId);
      if (reply.idempotencyKey === idempotencyKey || !this.#seen.has(JSON.stringify(reply))) {
        this.#seen.add(JSON.stringify(reply));
        return reply;
      }
    }
  }

  /** Asks, and checks that the reply is to that, and what it says. */
  async ask(asked: Asked, outcome: ReplyMessage["outcome"]): Promise<ReplyMessage> {
    const command = this.toCommand(asked);
    await this.send(JSON.stringify(command), command.sagaId);
    const reply = await this.#answerTo(command);
    const { sagaId, step, direction, round, idempotencyKey } = command;
    const { result, error, ...told } = reply;
    deepEqual(
      told,
      { sagaId, step, direction, round, idempotencyKey, outcome },
      "what a reply says of itself",
    );
    if (outcome === "done") equal(error, undefined, "an error of what was done");
    else {
      equal(result, undefined, "a result of what was not done");
      match(error?.message ?? "", /./, "the reason why it was not done");
    }
    return reply;
  }

  /** Checks what the participant has stored, where that can be seen. */
  async took(done: number, undone: number): Promise<void> {
    if (this.#t.effects) deepEqual(await this.#t.effects(this.effect), { done, undone }, "what took effect");
  }

  async close(): Promise<void> {
    await this.#receiver.stop();
  }
}
