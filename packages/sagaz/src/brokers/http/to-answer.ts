import { SagaError } from "../../core/errors.ts";

/** What a server has said to a request. */
export interface HttpReply {
  readonly status: number;
  readonly retryAfter: string | null;
  /** The beginning of its body. */
  readonly text: string;
}

/** "Request Timeout", "Too Early", "Too Many Requests": of 4xx these say nothing against the message. */
const LATER = new Set([408, 425, 429]);

/**
 * What an answer means for a message. 2xx: taken. 408, 425, 429 and 5xx: not now. All else, a redirect too, is a refusal: the
 * same would come again.
 */
export function toAnswer(
  { status, retryAfter, text }: HttpReply,
  { destination, now }: { readonly destination: string; readonly now: number },
): SagaError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const said = text.trim().replace(/\s+/g, " ");
  const message = `it answers ${status}${said === "" ? "" : `: ${said}`}`;
  if (LATER.has(status) || status >= 500)
    return toUnavailable(destination, message, { status, retryAfterMs: toDelayMs(retryAfter, now) });
  const why = status < 400 ? `${message}; redirects are not followed` : message;
  return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "HTTP", topic: destination, message: why });
}

/** Without its cause, which may hold the request with its credentials. */
export function toUnavailable(
  destination: string,
  message: string,
  answer: { readonly status?: number; readonly retryAfterMs?: number | undefined } = {},
): SagaError {
  return new SagaError("SAGAZ_DESTINATION_UNAVAILABLE", { destination, message, ...answer });
}

/** Seconds, or a date (RFC 9110, 10.2.3). What is neither is left out. */
function toDelayMs(retryAfter: string | null, now: number): number | undefined {
  if (retryAfter === null) return undefined;
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter) * 1_000;
  const at = Date.parse(retryAfter);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
