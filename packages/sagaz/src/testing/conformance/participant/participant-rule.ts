import type { MessageInlet, MessageOutlet } from "../../../ports/broker.ts";
import { toRule } from "../rule.ts";
import type { Rule } from "../rule.ts";

/** One sentence of the contract of participants, with the check that it is kept. */
export type ParticipantRule = Rule<ParticipantUnderTest, ParticipantNeed>;

/** What the handle that opens a participant must provide for a rule to mean anything: see {@link ParticipantUnderTest}. */
export type ParticipantNeed = "effects" | "crash";

/** Opens a participant that runs. */
export type OpenParticipant = () => Promise<ParticipantUnderTest>;

/** A command that a rule may send. */
export interface SampleCommand {
  readonly command: string;
  readonly payload: unknown;
}

/** A participant that runs, in whatever process and language, with what a rule needs around it. */
export interface ParticipantUnderTest {
  /** Reaches the broker that the participant reads from; an `HttpOutlet` for one without. Started. */
  readonly broker: MessageOutlet & Partial<MessageInlet>;
  /** Where replies come, if that is not `broker`: an `HttpInlet`. Started. */
  readonly replies?: MessageInlet;
  /** Where the participant gets its commands from: a topic or a URL. */
  readonly topic: string;
  /** A topic, or a URL, for replies that nobody else reads. */
  replyTopic(): Promise<string>;
  /** A command that is done, and can be undone. */
  readonly succeeds: SampleCommand;
  /** A command to which the business says no. */
  readonly fails: SampleCommand;
  /** Need `effects`: how many times the effect of that name was done, and undone, by what the participant has stored. */
  readonly effects?: (effect: string) => Promise<{ readonly done: number; readonly undone: number }>;
  /** Need `crash`: ends the participant's process without a farewell, and starts another one on the same data. */
  readonly crash?: () => Promise<void>;
  /** Stops everything that was opened. */
  close(): Promise<void>;
}

/** Makes a rule of a body, which gets a participant that runs and need not stop it. */
export function rule(
  name: string,
  body: (t: ParticipantUnderTest) => Promise<void>,
  needs: readonly ParticipantNeed[] = [],
): ParticipantRule {
  return toRule({ name, needs, body });
}
