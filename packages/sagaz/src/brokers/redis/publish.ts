import { SagaError } from "../../core/errors.ts";
import { need } from "../../core/must.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { toKept, toPacket, type Kept } from "./entry.ts";
import { toPublishError, toRefused } from "./errors.ts";
import type { Keys } from "./keys.ts";
import type { Line } from "./line.ts";
import { scripts } from "./scripts.ts";

/** Bounds of what is appended in one go, in which the server does nothing else. */
const messagesPerAppendMax = 1_000;
const bytesPerAppendMax = 4 * 1024 * 1024;

/** What publishing works with. */
export interface PublishParts {
  readonly line: Line;
  readonly keys: Keys;
  readonly messageBytesMax: number;
}

/** Messages of a topic that are accepted together or not at all. */
interface Portion {
  /** Their places in the call. */
  readonly places: number[];
  readonly kept: Kept[];
  bytes: number;
}

type Answers = (SagaError | undefined)[];

/**
 * Publishes, topic by topic. A portion of a topic's messages follows only when the one before was accepted: so what is
 * accepted of a key is a prefix.
 */
export async function publish(messages: readonly BrokerMessage[], parts: PublishParts): Promise<Answers> {
  const answers: Answers = messages.map(() => undefined);
  const byTopic = new Map<string, number[]>();
  for (const [place, { topic }] of messages.entries()) {
    const places = byTopic.get(topic);
    if (places) places.push(place);
    else byTopic.set(topic, [place]);
  }
  await Promise.all(
    Array.from(byTopic, async ([topic, places]) => {
      const portions = divide(places, { messages, answers, messageBytesMax: parts.messageBytesMax });
      await append(portions, { ...parts, topic, answers });
    }),
  );
  return answers;
}

/** Answers what is too large, and what it holds back; the rest of a topic is divided into portions. */
function divide(
  places: readonly number[],
  {
    messages,
    answers,
    messageBytesMax,
  }: { messages: readonly BrokerMessage[]; answers: Answers; messageBytesMax: number },
): Portion[] {
  const heldBack = new Set<string>();
  const portions: Portion[] = [];
  for (const place of places) {
    const message = need(messages[place], "a place in the call has its message");
    const { topic, key } = message;
    const kept = toKept(message);
    const { bytes } = kept;
    if (heldBack.has(key)) {
      answers[place] = new SagaError("SAGAZ_BROKER_HELD_BACK");
    } else if (bytes > messageBytesMax) {
      heldBack.add(key);
      answers[place] = toRefused(
        topic,
        `it has ${bytes} bytes; the limit messageBytesMax is ${messageBytesMax}`,
      );
    } else {
      const portion = toRoom(portions, bytes);
      portion.places.push(place);
      portion.kept.push(kept);
      portion.bytes += bytes;
    }
  }
  return portions;
}

async function append(
  portions: readonly Portion[],
  { line, keys, topic, answers }: PublishParts & { topic: string; answers: Answers },
): Promise<void> {
  let failure: SagaError | undefined;
  for (const { places, kept } of portions) {
    try {
      if (!failure) await line.call("EVAL", scripts.append, 1, keys.stream(topic), toPacket(kept));
    } catch (error) {
      failure = toPublishError(error, topic);
    }
    for (const place of places) answers[place] = failure;
  }
}

/** The last portion if there is room in it, else a new one. */
function toRoom(portions: Portion[], bytes: number): Portion {
  const last = portions.at(-1);
  if (last && last.places.length < messagesPerAppendMax && last.bytes + bytes <= bytesPerAppendMax)
    return last;
  const portion: Portion = { places: [], kept: [], bytes: 0 };
  portions.push(portion);
  return portion;
}
