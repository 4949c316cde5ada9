import { toShown } from "../../core/delivery/url-topic.ts";
import type { SagaError } from "../../core/errors.ts";
import type { BrokerMessage } from "../../ports/broker.ts";
import { toHttpHeaders } from "./envelope-headers.ts";
import { readStart } from "./read-start.ts";
import { toAnswer, toUnavailable } from "./to-answer.ts";

/** Headers that a destination wants, or what makes them, each time anew: a token that expires, say. */
export type MakeHeaders = () => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>;

/** What a request is made with. Times are milliseconds. */
export interface PostParts {
  readonly headers: MakeHeaders;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  /** Requests under way, for a stop to end. */
  readonly underWay: Set<AbortController>;
}

/** So much of an answer is told in errors, in characters. */
const TOLD_MAX = 200;

/** Posts a message, and answers undefined once its destination has taken it, or why not. */
export async function post(message: BrokerMessage, parts: PostParts): Promise<SagaError | undefined> {
  const destination = toShown(message.topic);
  const { timeoutMs, underWay, answerBytesMax } = parts;
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  underWay.add(ending);
  try {
    const own = await unlessEnded(ending.signal, Promise.resolve().then(parts.headers));
    const response = await fetch(message.topic, {
      method: "POST",
      headers: toHeaders(message, own),
      body: message.payload as string | Uint8Array<ArrayBuffer>,
      redirect: "manual",
      signal: ending.signal,
    });
    const { status, headers } = response;
    const text = await readStart(response.body, answerBytesMax).catch(() => "");
    const reply = { status, retryAfter: headers.get("retry-after"), text: text.slice(0, TOLD_MAX) };
    return toAnswer(reply, { destination, now: Date.now() });
  } catch (error) {
    return toUnavailable(destination, whyNot(error, ending.signal));
  } finally {
    clearTimeout(timer);
    underWay.delete(ending);
  }
}

/** Making headers may be a request of its own, for a token say: it is given up with the whole. */
function unlessEnded<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    promise.then(resolve, reject);
  });
}

/** @throws Error that does not tell the value that cannot be sent, as that of `Headers` does: it may be a secret. */
function toHeaders(message: BrokerMessage, own: Readonly<Record<string, string>>): Headers {
  const headers = new Headers(toHttpHeaders(message.headers));
  for (const [name, value] of Object.entries(own)) {
    try {
      headers.set(name, value);
    } catch {
      throw new Error(`its header "${name}" holds what no header can`);
    }
  }
  return headers;
}

function whyNot(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return messageOf(signal.reason);
  // Of a failed fetch only the cause says why.
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

/** Connection errors of Node may come as several in one, with an empty message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}
